"""Refuse archives that are dangerous or cannot be read, before anything is written."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edpipe.errors import SourceError
from edpipe.setting_groups import IngestSettings
from edpipe.sources.zip_directory import ZipDirectory

STORED, DEFLATED = 0, 8
_ENCRYPTED_FLAGS = 0x2041
_ARCHIVES = frozenset({"zip", "7z", "rar", "gz", "tgz", "bz2", "xz", "zst", "tar"})
# What an unsafe name must contain: one search in all names spares a search in each.
_UNSAFE_SIGNS = ("..", "\\", ":", "\0", "\n/")
_UNSAFE = re.compile(r"^[/\\]|^[A-Za-z]:|(^|[/\\])\.\.([/\\]|$)|\x00")


def refuse_dangerous(path: Path, directory: ZipDirectory, limits: IngestSettings) -> None:
    """Refuse an archive that is encrypted, nested, a bomb, or names places outside itself.

    Raises
    ------
    SourceError
        With the first such member and how many there are.
    """
    names = directory.names
    text = "\n" + "\n".join(names)
    suspect = any(sign in text for sign in _UNSAFE_SIGNS)
    unsafe = [index for index, name in enumerate(names) if suspect and _UNSAFE.search(name)]
    _refuse(path, names, unsafe, "names a place outside the archive", "relative names without `..`")
    encrypted = np.flatnonzero(directory.flags & _ENCRYPTED_FLAGS)
    _refuse(path, names, encrypted, "is encrypted", "an archive without a password")
    nested = [index for index, name in enumerate(names) if name.rpartition(".")[2].lower() in _ARCHIVES]
    _refuse(path, names, nested, "is an archive itself", "CSV files, not archives inside an archive")
    unknown = np.flatnonzero(~np.isin(directory.methods, (STORED, DEFLATED)))
    _refuse(
        path, names, unknown, "is compressed in a way that is not supported", "deflated or stored members"
    )
    _refuse_bombs(path, directory, limits)


def _refuse_bombs(path: Path, directory: ZipDirectory, limits: IngestSettings) -> None:
    large = np.flatnonzero(directory.sizes > limits.max_member_mib * 2**20)
    expected = f"at most {limits.max_member_mib} MiB (setting `ingest.max_member_mib`)"
    _refuse(path, directory.names, large, "is too large", expected)
    ratio = np.flatnonzero(directory.sizes > limits.max_ratio * np.maximum(directory.compressed, 1))
    expected = f"a compression ratio of at most {limits.max_ratio} (setting `ingest.max_ratio`)"
    _refuse(path, directory.names, ratio, "would expand beyond reason", expected)
    order = np.argsort(directory.offsets, kind="stable")
    starts = directory.offsets[order]
    ends = starts + 30 + directory.compressed[order]
    overlapping = order[1:][starts[1:] < ends[:-1]]
    _refuse(path, directory.names, overlapping, "shares its data with another", "data of its own a member")


def _refuse(
    path: Path, names: list[str], indices: npt.NDArray[np.int64] | list[int], problem: str, expected: str
) -> None:
    if len(indices) == 0:
        return
    more = f" and {len(indices) - 1:,} more" if len(indices) > 1 else ""
    raise SourceError(
        f"A member of the archive {problem}.",
        where=f"{path}: {names[int(indices[0])]!r}{more}",
        expected=expected,
        next_step="Use the archive as published; `docs/data/ednet.md` says where it is.",
        state="Nothing was written.",
    )
