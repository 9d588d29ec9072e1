"""Tell which files of logs are new to a relation that deliveries are added to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edpipe.settings import Settings
from edpipe.sources.delivery_keys import Arrivals, known
from edpipe.sources.landing import describe_input, shard_key


def new_files(
    settings: Settings, source: str, relation: str, files: Sequence[tuple[Path, str]]
) -> tuple[set[Path], Arrivals]:
    """Return the files that were not read before, and their keys.

    A file with the path, size and time of one that was read is known without being opened, another by its
    name, data set and content.

    Parameters
    ----------
    settings
        Where the relation is.
    source, relation
        The raw relation.
    files
        Path and data set of each file named.
    """
    before = known(settings, source, relation)
    new: set[Path] = set()
    keys: list[tuple[str, str]] = []
    taken_over: list[str] = []
    for path, dataset in files:
        is_known = before.has_input(path)
        if is_known and before.is_of_deliveries:
            continue
        entry = describe_input(path)
        key = shard_key("file", path.name, dataset, entry.sha256 or (entry.size, entry.mtime_ns))
        if is_known:
            taken_over.append(key)
            continue
        if before.has(key):
            continue
        new.add(path)
        keys.append((path.name, key))
    return new, Arrivals(keys, before.fingerprint, len(files) - len(new), taken_over=taken_over)
