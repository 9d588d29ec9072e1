"""Archives in EdNet's layout: one CSV member a student, from frames of many students."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self

import numpy as np
import polars as pl

from edpipe.errors import SourceError
from edpipe.sources.ednet_formats import SYNTHETIC_MARK
from edpipe.sources.synthetic.contents import Ints

Layout = Literal["zip", "folder"]
# The day on which KT1 was published in its present form; fixed, so that equal data gives equal bytes.
MEMBER_DATE: Final = (2019, 12, 24, 0, 0, 0)
UNIX: Final = 3
NEWLINE: Final = 10


def csv_bytes(frame: pl.DataFrame, *, header: bool = True) -> bytes:
    """Return a frame as EdNet writes it: LF, commas, no quotes, empty for null, final newline."""
    buffer = io.BytesIO()
    frame.write_csv(buffer, include_header=header, quote_style="never")
    return buffer.getvalue()


class ArchiveWriter:
    """Write members below one folder name, into a zip or into a folder.

    A zip gets its name when it is complete: an interrupted run leaves only a ``.tmp`` file.

    Parameters
    ----------
    path
        The zip, or the folder that stands for its top-level folder.
    folder
        Name of the folder inside the archive: ``KT1`` to ``KT4`` or ``contents``.
    layout
        Whether ``path`` is a zip or a folder.

    Raises
    ------
    SourceError
        If ``path`` is a folder that already holds files.
    """

    def __init__(self, path: Path, folder: str, layout: Layout) -> None:
        self._path = path
        self._folder = folder
        self._zip: zipfile.ZipFile | None = None
        self._temporary = path.with_name(path.name + ".tmp")
        path.parent.mkdir(parents=True, exist_ok=True)
        if layout == "zip":
            self._zip = zipfile.ZipFile(self._temporary, "w", zipfile.ZIP_DEFLATED)
            self._zip.comment = SYNTHETIC_MARK
            entry = _member(f"{folder}/")
            entry.external_attr = (0o40775 << 16) | 0x10
            self._zip.writestr(entry, b"", compress_type=zipfile.ZIP_STORED)
        elif path.is_dir() and any(path.iterdir()):
            raise SourceError(
                "The folder for synthetic data already holds files.",
                where=str(path),
                expected="a new or empty folder, so that no member of an earlier run is left",
                next_step="Delete it, or choose another folder.",
                state="Nothing was written there.",
            )
        else:
            path.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._zip is None:
            return
        self._zip.close()
        if kind is None:
            self._temporary.replace(self._path)
        else:
            self._temporary.unlink()

    def add(self, name: str, data: bytes) -> None:
        """Add one member ``<folder>/<name>``."""
        if self._zip is None:
            (self._path / name).write_bytes(data)
        else:
            self._zip.writestr(_member(f"{self._folder}/{name}"), data)

    def add_students(self, numbers: Ints, rows: Ints, frame: pl.DataFrame) -> None:
        """Add ``u{number}.csv`` for each student who has rows.

        Parameters
        ----------
        numbers
            Numbers in the students' ids.
        rows
            Rows of each student; they follow each other in ``frame`` in the same order.
        frame
            The rows of all these students.
        """
        header = (",".join(frame.columns) + "\n").encode()
        text = csv_bytes(frame, header=False)
        ends = np.flatnonzero(np.frombuffer(text, dtype=np.uint8) == NEWLINE) + 1
        edges = np.concatenate([[0], ends])[np.concatenate([[0], np.cumsum(rows)])]
        for number, begin, end in zip(numbers.tolist(), edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            if end > begin:
                self.add(f"u{number}.csv", header + text[begin:end])


def _member(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, MEMBER_DATE)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.create_system = UNIX
    entry.external_attr = 0o100664 << 16
    return entry
