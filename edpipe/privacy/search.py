"""Look for students in every file of a folder: decoded values where the format is known, and plain bytes."""

from __future__ import annotations

import json
import sqlite3
import zipfile
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from edpipe.privacy.needles import Needles
from edpipe.privacy.scrub import named_in
from edpipe.warehouse.search import count_named

# What MLflow keeps of the program beside a model; its examples name students that are nobody.
PROGRAM: Final = ("mlartifacts", "code")
_PIECE: Final = 8 * 2**20
_OVERLAP: Final = 4096
_BEGINNING: Final = 8192


@dataclass(frozen=True, slots=True)
class SearchedFiles:
    """Files of one kind in one folder below home, and in how many of them a student was found."""

    folder: str
    kind: str
    files: int
    mib: float
    read_as: str
    found_in: int


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What was searched, and the files that still hold a student."""

    searched: tuple[SearchedFiles, ...]
    found: tuple[Path, ...]


def search(home: Path, needles: Needles, *, skip: Collection[Path] = ()) -> SearchResult:
    """Look for students in every file below ``home``, those ``skip`` names excepted.

    Tables, archives and checkpoints are decoded; every file is also read as bytes, for ids of six bytes and
    more, which do not occur by chance. An id that an item has, too, is looked for where students stand.
    """
    groups: Counter[tuple[str, str, str]] = Counter()
    sizes: Counter[tuple[str, str, str]] = Counter()
    hits: Counter[tuple[str, str, str]] = Counter()
    found = []
    for path in sorted(home.rglob("*")):
        inside = path.relative_to(home)
        if not path.is_file() or path.is_symlink() or path in skip:
            continue
        if inside.parts[0] == PROGRAM[0] and PROGRAM[1] in inside.parts:
            group = (inside.parts[0], path.suffix, "copies of the program: not read")
            is_found = False
        else:
            how, is_found = _look(path, needles)
            group = (inside.parts[0] if len(inside.parts) > 1 else ".", path.suffix or "no suffix", how)
        groups[group] += 1
        sizes[group] += path.stat().st_size
        hits[group] += is_found
        if is_found:
            found.append(path)
    searched = tuple(
        SearchedFiles(
            folder,
            kind,
            groups[folder, kind, how],
            sizes[folder, kind, how] / 2**20,
            how,
            hits[folder, kind, how],
        )
        for folder, kind, how in sorted(groups)
    )
    return SearchResult(searched, tuple(found))


def _look(path: Path, needles: Needles) -> tuple[str, bool]:
    """Return how a file was read, and whether it holds a student."""
    in_bytes = _in_bytes(path, needles)
    and_bytes = ", bytes" if needles.raw is not None else ""
    for how, suffixes, look in _READERS:
        if path.suffix in suffixes:
            try:
                return how + and_bytes, look(path, needles) or in_bytes
            except (OSError, ValueError, zipfile.BadZipFile, sqlite3.Error, pl.exceptions.PolarsError):
                # Half-written or of another format: its bytes are all there is.
                break
    if _is_text(path):
        return "text", in_bytes or _in_text_file(path, needles)
    return "bytes" if needles.raw is not None else "bytes: ids too short to tell", in_bytes


def _is_text(path: Path) -> bool:
    with path.open("rb") as file:
        beginning = file.read(_BEGINNING)
    try:
        beginning.decode("utf-8")
    except UnicodeDecodeError as error:
        # A character may be cut at the end of what was read.
        return len(beginning) == _BEGINNING and error.start > _BEGINNING - 4
    return b"\0" not in beginning


def _in_bytes(path: Path, needles: Needles) -> bool:
    pattern = needles.raw
    if pattern is None:
        return False
    with path.open("rb") as file:
        kept = b""
        while piece := file.read(_PIECE):
            if pattern.search(kept + piece):
                return True
            kept = piece[-_OVERLAP:]
    return False


def _in_text_file(path: Path, needles: Needles) -> bool:
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        kept = ""
        while piece := file.read(_PIECE):
            if needles.in_text(kept + piece):
                return True
            kept = piece[-_OVERLAP:]
    return False


def _in_parquet(path: Path, needles: Needles) -> bool:
    frame = pl.scan_parquet(path)
    told = [
        one
        for name, kind in frame.collect_schema().items()
        if (one := named_in(name, kind, needles)) is not None
    ]
    if not told:
        return False
    return bool(frame.select(pl.any_horizontal(told).any()).collect().item())


def _in_json(path: Path, needles: Needles) -> bool:
    return needles.named_in(json.loads(path.read_text(encoding="utf-8"))) > 0


def _in_arrays(path: Path, needles: Needles) -> bool:
    stored = np.load(path, allow_pickle=False)
    arrays = [stored] if isinstance(stored, np.ndarray) else [stored[name] for name in stored.files]
    texts = [array for array in arrays if array.dtype.kind in "US"]
    return any(needles.in_text(str(value)) for array in texts for value in array.ravel())


def _in_checkpoint(path: Path, needles: Needles) -> bool:
    import torch

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ValueError(str(error)) from error
    return needles.named_in(content) > 0


def _in_zip(path: Path, needles: Needles) -> bool:
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if needles.in_text(name) or needles.in_text(archive.read(name).decode("utf-8", "replace")):
                return True
    return False


def _in_sqlite(path: Path, needles: Needles) -> bool:
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
        connection.text_factory = lambda value: value.decode("utf-8", "replace")
        tables = [
            name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        ]
        for table in tables:
            quoted = '"' + table.replace('"', '""') + '"'
            for row in connection.execute(f"SELECT * FROM {quoted}"):
                if any(isinstance(value, str) and needles.in_text(value) for value in row):
                    return True
    return False


def _in_duckdb(path: Path, needles: Needles) -> bool:
    return count_named(path, needles.pattern_of) > 0


_READERS: Final[tuple[tuple[str, frozenset[str], Callable[[Path, Needles], bool]], ...]] = (
    ("tables", frozenset({".parquet"}), _in_parquet),
    ("tables", frozenset({".duckdb"}), _in_duckdb),
    ("tables", frozenset({".db", ".sqlite"}), _in_sqlite),
    ("values", frozenset({".json"}), _in_json),
    ("arrays", frozenset({".npz", ".npy"}), _in_arrays),
    ("checkpoint", frozenset({".pt", ".ckpt"}), _in_checkpoint),
    ("members", frozenset({".zip"}), _in_zip),
)
