"""The directory of a zip archive as compact arrays; Zip64 included.

Python's ``zipfile`` makes an object a member: 7 s and 460 MB to open EdNet's 784,309 members, and
again in every process. Here opening costs under 2 s, and what a process needs of it is a slice.
"""

from __future__ import annotations

import mmap
import struct
from array import array
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edpipe.errors import SourceError

# PKWARE APPNOTE 6.3.10: 4.3.16 end record, 4.3.15 and 4.3.14 its Zip64 pair, 4.3.12 entries.
_END = struct.Struct("<4s4H2LH")
_END64_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LENGTHS = struct.Struct("<3H")
_EXTRA = struct.Struct("<2H")
_ENTRY = np.dtype(
    [
        ("signature", "<u4"), ("made_by", "<u2"), ("needed", "<u2"), ("flags", "<u2"), ("method", "<u2"),
        ("time", "<u2"), ("date", "<u2"), ("crc", "<u4"), ("compressed", "<u4"), ("size", "<u4"),
        ("name_length", "<u2"), ("extra_length", "<u2"), ("comment_length", "<u2"), ("disk", "<u2"),
        ("internal", "<u2"), ("external", "<u4"), ("offset", "<u4"),
    ]
)  # fmt: skip
_SATURATED = 0xFFFFFFFF
_ZIP64_EXTRA = 1
_LONGEST_END = _END.size + 0xFFFF
_BLOCK = 65_536


@dataclass(frozen=True, slots=True)
class ZipDirectory:
    """Members of an archive in the order of its directory; one element a member in every field."""

    names: list[str]
    offsets: npt.NDArray[np.int64]
    compressed: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]
    crcs: npt.NDArray[np.uint32]
    methods: npt.NDArray[np.uint16]
    flags: npt.NDArray[np.uint16]
    end_of_data: int


def read_directory(path: Path) -> ZipDirectory:
    """Read the directory of a zip archive.

    Raises
    ------
    SourceError
        If the file is no zip archive, is truncated, or is one part of several.
    """
    size = path.stat().st_size
    if size < _END.size:
        raise damaged(path, f"a file of {size} bytes")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        count, length, start, shift = _find_directory(path, data)
        positions, names = _walk(path, data, start + shift, length)
        if len(positions) != count:
            raise damaged(path, f"{len(positions):,} entries where {count:,} are announced")
        entries = _gather(data, positions)
        offsets = entries["offset"].astype(np.int64)
        compressed = entries["compressed"].astype(np.int64)
        sizes = entries["size"].astype(np.int64)
        wide = (sizes == _SATURATED) | (compressed == _SATURATED) | (offsets == _SATURATED)
        for index in np.flatnonzero(wide):
            extra = positions[index] + _ENTRY.itemsize + int(entries["name_length"][index])
            field = data[extra : extra + int(entries["extra_length"][index])]
            _widen(path, field, int(index), (sizes, compressed, offsets))
    directory = ZipDirectory(
        names=names,
        offsets=offsets + shift,
        compressed=compressed,
        sizes=sizes,
        crcs=entries["crc"].copy(),
        methods=entries["method"].copy(),
        flags=entries["flags"].copy(),
        end_of_data=start + shift,
    )
    ends = directory.offsets + 30 + compressed
    if len(ends) and int(ends.max()) > directory.end_of_data:
        raise damaged(path, "members that reach beyond the data")
    return directory


def damaged(path: Path, found: str) -> SourceError:
    """Return the error for an archive that is not whole."""
    return SourceError(
        "The archive is truncated or no zip file.",
        where=str(path),
        found=found,
        expected="a complete zip archive as published",
        next_step="Download it again; compare its size with `docs/data/ednet.md`.",
        state="Nothing was written.",
    )


def _find_directory(path: Path, data: mmap.mmap) -> tuple[int, int, int, int]:
    """Return number of entries, length and announced start of the directory, and its shift."""
    end = data.rfind(b"PK\5\6", max(0, len(data) - _LONGEST_END))
    if end < 0 or end + _END.size > len(data):
        raise damaged(path, "no end-of-directory record")
    _, disk, first_disk, _, count, length, start, _ = _END.unpack_from(data, end)
    stop = end
    locator = end - _END64_LOCATOR.size
    if locator >= 0 and data[locator : locator + 4] == b"PK\6\7":
        _, _, wide, _ = _END64_LOCATOR.unpack_from(data, locator)
        if wide + _END64.size > locator or data[wide : wide + 4] != b"PK\6\6":
            # Bytes put before the archive move everything; the record then ends at its locator.
            wide = locator - _END64.size
            if wide < 0 or data[wide : wide + 4] != b"PK\6\6":
                raise damaged(path, "no Zip64 end-of-directory record")
        _, _, _, _, disk, first_disk, _, count, length, start = _END64.unpack_from(data, wide)
        stop = wide
    if disk or first_disk:
        raise damaged(path, "one part of an archive in several parts")
    shift = stop - length - start
    if shift < 0:
        raise damaged(path, "a directory that reaches beyond the file")
    return count, length, start, shift


def _walk(path: Path, data: mmap.mmap, start: int, length: int) -> tuple[array[int], list[str]]:
    """Return the position and the name of every entry; entries are as long as their names."""
    positions = array("q")
    names = []
    position, stop = start, start + length
    unpack, fixed = _LENGTHS.unpack_from, _ENTRY.itemsize
    while position + fixed <= stop:
        name_length, extra_length, comment_length = unpack(data, position + 28)
        positions.append(position)
        name_end = position + fixed + name_length
        names.append(_decode(data[position + fixed : name_end]))
        position = name_end + extra_length + comment_length
    if position != stop:
        raise damaged(path, "a directory whose entries do not fit together")
    return positions, names


def _decode(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError:
        return name.decode("cp437")


def _gather(data: mmap.mmap, positions: array[int]) -> np.ndarray[tuple[int], np.dtype[np.void]]:
    """Copy the fixed part of every entry into one structured array, block by block."""
    # A view on the map must be gone before the map is closed.
    view = np.frombuffer(data, np.uint8)
    starts = np.frombuffer(positions, np.int64) if positions else np.zeros(0, np.int64)
    columns = np.arange(_ENTRY.itemsize)
    entries = np.empty(len(starts), _ENTRY)
    for block in range(0, len(starts), _BLOCK):
        part = starts[block : block + _BLOCK]
        entries[block : block + _BLOCK] = view[part[:, None] + columns].view(_ENTRY)[:, 0]
    del view
    return entries


def _widen(path: Path, extra: bytes, index: int, fields: tuple[npt.NDArray[np.int64], ...]) -> None:
    """Replace saturated 32-bit values by those of the Zip64 field, which holds only these, in order."""
    position = 0
    while position + _EXTRA.size <= len(extra):
        kind, length = _EXTRA.unpack_from(extra, position)
        position += _EXTRA.size
        if kind == _ZIP64_EXTRA:
            saturated = [field for field in fields if field[index] == _SATURATED]
            if length < 8 * len(saturated):
                break
            values = struct.unpack_from(f"<{len(saturated)}Q", extra, position)
            for field, value in zip(saturated, values, strict=True):
                field[index] = min(value, 2**62)
            return
        position += length
    raise damaged(path, "a Zip64 entry without its sizes")
