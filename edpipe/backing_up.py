"""The verbs of backups: a consistent copy of home elsewhere, and a home from it."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from edpipe.backup_store import BackupManifest, BackupStore, StoredFile, hash_file
from edpipe.errors import SettingsError
from edpipe.settings import Settings, load_settings

# What a running program needs for itself: made anew.
LEFT_OUT: Final = ("tmp", "warehouse.lock")
STAGED: Final = ".restoring"
REPLACED: Final = ".replaced"
_VERIFIED: Final = ".verified"
_EMPTIED: Final = ".emptied"
_SQLITE_HEADER: Final = b"SQLite format 3\x00"


@dataclass(frozen=True, slots=True)
class BackedUp:
    """Files of one folder of home, and how much of them the target did not have yet."""

    folder: str
    files: int
    mib: float
    new_files: int
    new_mib: float


@dataclass(frozen=True, slots=True)
class BackupReport:
    """One backup: its name, its folders, and what the tracking server keeps elsewhere."""

    name: str
    folders: tuple[BackedUp, ...]
    is_tracked_elsewhere: bool


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """What was brought back: backup, home it was made of, files and MiB."""

    name: str
    made_of: str
    files: int
    mib: float


def backup(target: Path, settings: Settings | None = None, *, dry_run: bool = False) -> BackupReport:
    """Copy home to a folder of backups; contents that are there already are not copied again.

    Nobody builds or ingests meanwhile. A killed backup leaves the earlier ones as they were.

    Parameters
    ----------
    target
        Folder of backups, outside home; made where it is not there.
    settings
        Default: :func:`edpipe.load_settings`.
    dry_run
        Count what would be copied and write nothing.

    Raises
    ------
    SettingsError
        If there is no home, or the target lies in it.
    WarehouseBusyError, SourceError
        If another process builds or ingests.
    """
    from edpipe.raw import landed, relation_dir
    from edpipe.sources.shard_files import locked
    from edpipe.warehouse.lock import writer_lock

    settings = settings or load_settings()
    home = settings.home.resolve()
    _refuse_target(home, target.resolve())
    store = BackupStore(target)
    stored: list[StoredFile] = []
    new: list[StoredFile] = []
    with ExitStack() as stack:
        stack.enter_context(writer_lock(settings, "backup"))
        for manifest in landed(settings.raw_dir):
            stack.enter_context(locked(relation_dir(settings.raw_dir, manifest.source, manifest.relation)))
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edpipe-backup-")))
        if not dry_run:
            store.open()
        for path in _files(home):
            try:
                one, is_new = _store(store, home, path, scratch, dry_run=dry_run)
            except FileNotFoundError:
                # A training beside us has renamed it; what it became comes with the next backup.
                continue
            stored.append(one)
            new += [one] * is_new
        name = datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%S.%fZ")
        if not dry_run:
            store.write(_manifest(settings, name, stored))
    return BackupReport(name, _folders(stored, new), bool(settings.tracking_uri))


def _refuse_target(home: Path, target: Path) -> None:
    if not home.is_dir() or not any(home.iterdir()):
        found, expected = "no such folder, or an empty one", "the home folder of a pipeline"
        where = f"setting `home`: {home}"
    elif target.is_relative_to(home) or home.is_relative_to(target):
        found, expected = f"{target}, with {home}", "a folder outside home, better on another disk"
        where = "argument TARGET"
    else:
        return
    raise SettingsError(
        "This cannot be backed up.", where=where, found=found, expected=expected, state="Nothing was written."
    )


def _files(home: Path) -> Iterator[Path]:
    for path in sorted(home.rglob("*")):
        first = path.relative_to(home).parts[0]
        # SQLite's journals are folded into the copy of its file.
        is_journal = path.name.endswith((".db-wal", ".db-shm", ".db-journal"))
        is_lock = path.name == ".lock"
        if first in (*LEFT_OUT, STAGED, REPLACED) or is_journal or is_lock:
            continue
        if path.is_file() and not path.is_symlink():
            yield path


def _store(
    store: BackupStore, home: Path, path: Path, scratch: Path, *, dry_run: bool
) -> tuple[StoredFile, bool]:
    status = path.stat()
    content = _sqlite_copy(path, scratch) if _is_sqlite(path) else path
    if dry_run:
        sha256, size = hash_file(content)
        is_new = not store.has(sha256, size)
    else:
        sha256, size, is_new = store.add(content)
    inside = path.relative_to(home).as_posix()
    return StoredFile(inside, size, sha256, status.st_mode & 0o777, status.st_mtime_ns), is_new


def _is_sqlite(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_SQLITE_HEADER)) == _SQLITE_HEADER


def _sqlite_copy(path: Path, scratch: Path) -> Path:
    """Copy a SQLite file as of one moment, while others may write it."""
    copy = scratch / "copy.db"
    copy.unlink(missing_ok=True)
    with (
        closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as source,
        closing(sqlite3.connect(copy)) as target,
    ):
        source.backup(target)
    return copy


def _manifest(settings: Settings, name: str, files: list[StoredFile]) -> BackupManifest:
    from importlib import metadata

    # The address of a server may hold a password.
    shown = settings.model_dump(mode="json", exclude={"tracking_uri"})
    return BackupManifest(name, str(settings.home.resolve()), metadata.version("edpipe"), tuple(files), shown)


def _folders(stored: list[StoredFile], new: list[StoredFile]) -> tuple[BackedUp, ...]:
    def of(files: list[StoredFile], folder: str) -> tuple[int, float]:
        inside = [one.size for one in files if one.path.split("/")[0] == folder]
        return len(inside), sum(inside) / 2**20

    names = dict.fromkeys(one.path.split("/")[0] for one in stored)
    return tuple(BackedUp(name, *of(stored, name), *of(new, name)) for name in names)


def restore(
    source: Path,
    settings: Settings | None = None,
    *,
    at: str | None = None,
    force: bool = False,
    dry_run: bool = False,
) -> RestoreReport:
    """Bring a home back from a folder of backups; every file is verified before the first is replaced.

    Killed before that, home is as it was; killed while files are put in place, the same command goes on.

    Parameters
    ----------
    source
        Folder of backups.
    settings
        Default: :func:`edpipe.load_settings`; `home` says where to.
    at
        Name of the backup; by default the newest.
    force
        Replace a home that holds something.
    dry_run
        Verify every content and write nothing.

    Raises
    ------
    SourceError
        If there is no backup, or one of its files is torn or altered: it is named.
    SettingsError
        If home holds something and ``force`` is not set.
    WarehouseBusyError
        If another process is writing.
    """
    from edpipe.backup_store import altered
    from edpipe.warehouse.lock import writer_lock

    settings = settings or load_settings()
    home = settings.home
    store = BackupStore(source)
    manifest = store.read(at)
    report = RestoreReport(
        manifest.name,
        manifest.home,
        len(manifest.files),
        sum(one.size for one in manifest.files) / 2**20,
    )
    if dry_run:
        for one in manifest.files:
            path = store.object_path(one.sha256)
            if not path.exists() or hash_file(path) != (one.sha256, one.size):
                raise altered(path, f"not the content of `{one.path}`")
        return report
    staged = home / STAGED
    is_begun = (staged / _VERIFIED).exists() or (staged / _EMPTIED).exists()
    if not force and not is_begun and _entries(home):
        raise SettingsError(
            "The home folder is not empty.",
            where=str(home),
            found=", ".join(path.name for path in _entries(home)[:5]),
            expected="an empty or a new folder",
            next_step="Use another `--home`, or replace what is there with `--force`.",
            state="Nothing was changed.",
        )
    with writer_lock(settings, "restore"):
        if not is_begun:
            # Of a run killed before it began to replace, or after it had ended.
            shutil.rmtree(staged, ignore_errors=True)
            shutil.rmtree(home / REPLACED, ignore_errors=True)
            for one in manifest.files:
                store.copy_out(one, staged / one.path)
            (staged / _VERIFIED).touch()
        _put_in_place(home)
    return report


def _entries(home: Path) -> list[Path]:
    """Return what a home holds, without what a restore brings itself."""
    if not home.exists():
        return []
    return sorted(path for path in home.iterdir() if path.name not in (*LEFT_OUT, STAGED, REPLACED))


def _put_in_place(home: Path) -> None:
    """Move the old aside, all of it, then the new in; home itself stays: it may be a mounted volume."""
    staged, replaced = home / STAGED, home / REPLACED
    if not (staged / _EMPTIED).exists():
        replaced.mkdir(exist_ok=True)
        for path in _entries(home):
            path.rename(replaced / path.name)
        shutil.rmtree(home / "tmp", ignore_errors=True)
        (staged / _VERIFIED).rename(staged / _EMPTIED)
    for path in sorted(staged.iterdir()):
        if path.name != _EMPTIED:
            path.rename(home / path.name)
    (staged / _EMPTIED).unlink()
    staged.rmdir()
    shutil.rmtree(replaced, ignore_errors=True)
