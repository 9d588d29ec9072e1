"""Columns that grow on disk: ``.npy`` files written in pieces and read memory-mapped."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import DTypeLike, NDArray

Array = NDArray[Any]


class ColumnWriter:
    """Append pieces of one column to an ``.npy`` file of a length not known before.

    NumPy pads the header so that the shape can grow in place; it is written again at the end.

    Parameters
    ----------
    path
        File to write; an old one is replaced.
    dtype
        Type of the values.
    """

    def __init__(self, path: Path, dtype: DTypeLike) -> None:
        self._dtype = np.dtype(dtype)
        self._length = 0
        self._file = path.open("wb")
        self._write_header()
        self._start = self._file.tell()

    def append(self, values: Array) -> None:
        """Add ``values``, cast to the column's type."""
        piece = np.ascontiguousarray(values, dtype=self._dtype)
        self._file.write(piece.tobytes())
        self._length += len(piece)

    def close(self) -> None:
        """Write the final length and close the file."""
        self._file.seek(0)
        self._write_header()
        if self._file.tell() != self._start:  # pragma: no cover - NumPy reserves 21 digits
            raise OSError(f"the header of {self._file.name} outgrew its place.")
        self._file.close()

    def __enter__(self) -> ColumnWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write_header(self) -> None:
        header = {
            "descr": npy.dtype_to_descr(self._dtype),
            "fortran_order": False,
            "shape": (self._length,),
        }
        npy.write_array_header_1_0(self._file, header)


def read_column(path: Path) -> Array:
    """Return the column memory-mapped, read-only; an empty one as an empty array."""
    column: Array = np.load(path, mmap_mode="r") if _has_rows(path) else np.load(path)
    return column


def _has_rows(path: Path) -> bool:
    """Say whether there is anything to map: an empty file region cannot be."""
    with path.open("rb") as file:
        npy.read_magic(file)
        shape, _, _ = npy.read_array_header_1_0(file)
    return bool(np.prod(shape))
