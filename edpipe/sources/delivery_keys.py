"""What a relation that files are added to holds already, told by keys of files."""

from __future__ import annotations

from collections.abc import Sequence
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
    before
        Fingerprint of what the relation held when this was told, empty where it was not there.
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
    before: str
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
    def fingerprint(self) -> str:
        """Fingerprint of the relation with the files it was made of; empty where it is not there."""
        if self.manifest is None:
            return ""
        return f"{self.manifest.fingerprint} {self.manifest.read_file}".strip()

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
    """Return what a relation holds.

    Raises
    ------
    SourceError
        If that cannot be told, or part of it is gone: adding to it would lose the rest.
    """
    manifest = read_manifest(settings.raw_dir, source, relation)
    if manifest is None:
        return Known(None, frozenset())
    folder = relation_dir(settings.raw_dir, source, relation)
    listed = [shard.file for shard in manifest.shards] + [manifest.read_file] * bool(manifest.read_file)
    missing = [name for name in listed if not (folder / name).exists()]
    if missing:
        raise SourceError(
            "Files cannot be added to a relation of which a part is missing.",
            where=str(folder),
            found=f"no `{missing[0]}`" + f" and {len(missing) - 1} more" * (len(missing) > 1),
            expected="all files that the manifest lists",
            next_step="Bring them back from a backup, or delete the folder and run "
            f"`edpipe ingest {source} …` with all files that were ever added.",
            state="The relation is as it was before.",
        )
    if not manifest.read_file:
        return Known(manifest, frozenset())
    return Known(manifest, frozenset(pl.read_parquet(folder / manifest.read_file)["key"].to_list()))
