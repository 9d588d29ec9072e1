"""What a relation that files are added to holds already, told by keys of files."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from edpipe.errors import SourceError
from edpipe.raw import Manifest, read_manifest, relation_dir
from edpipe.settings import Settings
from edpipe.sources.landing import shard_key


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Files that are new to a relation.

    Parameters
    ----------
    keys
        Of each new file, the name that its rejects have and its key.
    num_known
        Files named that were read before and are not read again.
    unsettled
        Reason of rejects that another state of the source would undo, as a question that is not yet in
        the contents tables: files with such rows are read again in another ``state``.
    state
        Key of that state.
    excluded
        Keys of files that the selection leaves out.
    taken_over
        Keys of files whose rows are there from an ingestion of the whole, which kept no keys.
    """

    keys: Sequence[tuple[str, str]]
    num_known: int
    unsettled: str = ""
    state: str = ""
    excluded: Sequence[str] = ()
    taken_over: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Known:
    """What a relation holds already."""

    manifest: Manifest | None
    keys: frozenset[str]

    @property
    def is_of_deliveries(self) -> bool:
        """Tell whether files were added before: then the keys of all files are known."""
        return self.manifest is not None and bool(self.manifest.read_file)

    def has_input(self, path: Path) -> bool:
        """Tell by name, size and time whether a file or archive was read before."""
        if self.manifest is None:
            return False
        status = path.stat()
        seen = (str(path.resolve()), status.st_size, status.st_mtime_ns)
        return any((one.path, one.size, one.mtime_ns) == seen for one in self.manifest.inputs)

    def has(self, key: str, state: str = "") -> bool:
        """Tell whether the file of a key was read and would give the same rows."""
        return key in self.keys or (bool(state) and shard_key(key, state) in self.keys)


def known(settings: Settings, source: str, relation: str) -> Known:
    """Return what a relation holds; nothing where its manifest cannot be read."""
    manifest = None
    with suppress(SourceError):
        manifest = read_manifest(settings.raw_dir, source, relation)
    if manifest is None or not manifest.read_file:
        return Known(manifest, frozenset())
    path = relation_dir(settings.raw_dir, source, relation) / manifest.read_file
    return Known(manifest, frozenset(pl.read_parquet(path)["key"].to_list()))
