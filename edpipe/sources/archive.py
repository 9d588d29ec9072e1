"""Members of an archive or a folder, named without being read, then read in constant memory."""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from isal import igzip_lib, isal_zlib

from edpipe.errors import SourceError
from edpipe.setting_groups import IngestSettings
from edpipe.sources.landing import shard_key
from edpipe.sources.zip_directory import read_directory
from edpipe.sources.zip_safety import STORED, refuse_dangerous

TRUNCATED = "truncated member"
BAD_CRC = "bad CRC"
_LOCAL_HEADER = 30
_LENGTHS = struct.Struct("<2H")


@dataclass(frozen=True, slots=True)
class Members:
    """Files of one container, small enough to hand to another process.

    ``checks`` holds the CRC-32 of zip members and the time of change, in ns, of files. A file that
    was named by itself has its folder as container.
    """

    container: str
    is_zip: bool
    names: list[str]
    sizes: npt.NDArray[np.int64]
    checks: npt.NDArray[np.int64]
    offsets: npt.NDArray[np.int64]
    compressed: npt.NDArray[np.int64]
    methods: npt.NDArray[np.uint16]

    def __len__(self) -> int:
        return len(self.names)

    def take(self, indices: npt.NDArray[np.int64] | slice) -> Members:
        """Return some members, in the given order."""
        if isinstance(indices, slice):
            names = self.names[indices]
        else:
            names = [self.names[index] for index in indices.tolist()]
        return replace(
            self,
            names=names,
            sizes=self.sizes[indices],
            checks=self.checks[indices],
            offsets=self.offsets[indices],
            compressed=self.compressed[indices],
            methods=self.methods[indices],
        )

    def key(self) -> str:
        """Hash names, sizes and checks: equal keys mean equal content."""
        return shard_key("\0".join(self.names), self.sizes.tobytes(), self.checks.tobytes())

    def shown(self, name: str) -> str:
        """Return the name of a member as people find it: with its archive, if it is in one."""
        return f"{Path(self.container).name}/{name}" if self.is_zip else name


@dataclass(frozen=True, slots=True)
class MemberText:
    """Content of one member; ``problem`` says why it cannot be trusted."""

    name: str
    text: bytes
    problem: str = ""


def list_members(path: Path, limits: IngestSettings) -> list[Members]:
    """Name the members of an archive, a folder (with the archives in it) or a single file.

    Directories, hidden files and what macOS adds to archives are left out.

    Raises
    ------
    SourceError
        If an archive is truncated, dangerous or of an unknown kind.
    """
    if path.is_dir():
        files = _list_folder(path)
        zips = [index for index, name in enumerate(files.names) if name.lower().endswith(".zip")]
        plain = np.setdiff1d(np.arange(len(files)), np.array(zips, np.int64))
        found = [files.take(plain)] if len(plain) else []
        return found + [_list_zip(path / files.names[index], limits) for index in zips]
    with path.open("rb") as file:
        is_zip = path.suffix.lower() == ".zip" or file.read(4) == b"PK\3\4"
    return [_list_zip(path, limits) if is_zip else _table(str(path.parent), [(path.name, path.stat())])]


def _list_zip(path: Path, limits: IngestSettings) -> Members:
    directory = read_directory(path)
    refuse_dangerous(path, directory, limits)
    members = Members(
        container=str(path),
        is_zip=True,
        names=directory.names,
        sizes=directory.sizes,
        checks=directory.crcs.astype(np.int64),
        offsets=directory.offsets,
        compressed=directory.compressed,
        methods=directory.methods,
    )
    kept = [index for index, name in enumerate(directory.names) if not _is_passed_over(name)]
    return members if len(kept) == len(members) else members.take(np.array(kept, np.int64))


def _is_passed_over(name: str) -> bool:
    return name.endswith("/") or name.startswith((".", "__MACOSX/")) or "/." in name


def _list_folder(folder: Path) -> Members:
    found: list[tuple[str, os.stat_result]] = []
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "__MACOSX")
        inside = os.path.relpath(place, folder)
        prefix = "" if inside == "." else f"{inside}/"
        with os.scandir(place) as entries:
            status = {entry.name: entry.stat() for entry in entries if entry.is_file()}
        found += [(prefix + name, status[name]) for name in names if name in status and name[0] != "."]
    found.sort(key=lambda item: item[0])
    return _table(str(folder), found)


def _table(container: str, files: list[tuple[str, os.stat_result]]) -> Members:
    sizes = np.array([status.st_size for _, status in files], np.int64)
    nothing = np.zeros(len(files), np.int64)
    return Members(
        container=container,
        is_zip=False,
        names=[name for name, _ in files],
        sizes=sizes,
        checks=np.array([status.st_mtime_ns for _, status in files], np.int64),
        offsets=nothing,
        compressed=sizes,
        methods=nothing.astype(np.uint16),
    )


def read_texts(members: Members) -> Iterator[MemberText]:
    """Read members one after the other; a damaged one is handed over with what could be read.

    Raises
    ------
    SourceError
        If the container or one of its files is gone or cannot be opened.
    """
    try:
        if members.is_zip:
            yield from _read_zip(members)
        else:
            for name in members.names:
                yield MemberText(name, (Path(members.container) / name).read_bytes())
    except OSError as error:
        raise SourceError(
            "The source cannot be read.",
            where=error.filename or members.container,
            found=error.strerror or str(error),
            next_step="Run the same command again when it can be read.",
            state="The earlier state still counts; finished shards are kept for the next run.",
        ) from error


def _read_zip(members: Members) -> Iterator[MemberText]:
    columns = (members.offsets, members.compressed, members.sizes, members.checks, members.methods)
    with _mapped(Path(members.container)) as data:
        for name, *values in zip(members.names, *(column.tolist() for column in columns), strict=True):
            yield _read_member(data, name, *values)


@contextmanager
def _mapped(path: Path) -> Iterator[mmap.mmap]:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        yield data


def _read_member(
    data: mmap.mmap, name: str, offset: int, compressed: int, size: int, crc: int, method: int
) -> MemberText:
    if data[offset : offset + 4] != b"PK\3\4":
        return MemberText(name, b"", TRUNCATED)
    name_length, extra_length = _LENGTHS.unpack_from(data, offset + 26)
    start = offset + _LOCAL_HEADER + name_length + extra_length
    packed = data[start : start + compressed]
    text, whole = (packed, True) if method == STORED else _inflate(packed, size)
    if not whole or len(text) != size:
        return MemberText(name, text, TRUNCATED)
    if isal_zlib.crc32(text) != crc:
        return MemberText(name, text, BAD_CRC)
    return MemberText(name, text)


def _inflate(packed: bytes, size: int) -> tuple[bytes, bool]:
    """Inflate at most one byte more than announced, so that a lying size cannot fill the memory."""
    inflater = isal_zlib.decompressobj(wbits=-15)
    try:
        text = inflater.decompress(packed, size + 1)
    except igzip_lib.IsalError:  # type: ignore[misc]  # its stub calls it an instance
        return b"", False
    return text, inflater.eof or size == 0
