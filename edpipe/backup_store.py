"""A folder of backups: contents by their SHA-256, each stored once, and a manifest for each backup."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

from edpipe.errors import SourceError

FORMAT: Final = 1
OBJECTS: Final = "objects"
MANIFESTS: Final = "backups"
_PIECE: Final = 4 * 2**20


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One file of a home: path in it, size in bytes, SHA-256 of the content, mode and time of change."""

    path: str
    size: int
    sha256: str
    mode: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class BackupManifest:
    """One backup: when it was made (UTC), of which home, by which version and settings, and its files."""

    name: str
    home: str
    version: str
    files: tuple[StoredFile, ...]
    settings: dict[str, Any] = field(default_factory=dict)


class BackupStore:
    """The folder of backups at ``root``; what is in it is only added to, and whole at any time."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def open(self) -> None:
        """Make the folder, for its owner alone: it will hold students' data and the secret key."""
        for folder in (self.root, self.root / OBJECTS, self.root / MANIFESTS):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for left in self.root.rglob("*.tmp"):
            left.unlink(missing_ok=True)

    def has(self, sha256: str, size: int) -> bool:
        """Tell whether a content is there, as far as its size tells; a torn one is stored anew."""
        path = self.object_path(sha256)
        return path.exists() and path.stat().st_size == size

    def object_path(self, sha256: str) -> Path:
        """Return where a content is."""
        return self.root / OBJECTS / sha256[:2] / sha256

    def add(self, path: Path) -> tuple[str, int, bool]:
        """Store a content unless it is there; return its SHA-256, its size, and whether it was new.

        What is stored is hashed while it is copied, so a file that changes meanwhile does no harm.
        """
        sha256, size = hash_file(path)
        if self.has(sha256, size):
            return sha256, size, False
        scratch = self.root / OBJECTS / f"{os.getpid()}.tmp"
        with path.open("rb") as source, scratch.open("wb") as target:
            sha256, size = copy_hashed(source, target)
            os.fsync(target.fileno())
        final = self.object_path(sha256)
        final.parent.mkdir(exist_ok=True, mode=0o700)
        scratch.replace(final)
        return sha256, size, True

    def write(self, manifest: BackupManifest) -> Path:
        """Write the manifest last and by rename: until then the backup does not exist."""
        path = self.root / MANIFESTS / f"{manifest.name}.json"
        body = json.dumps({"format": FORMAT, **asdict(manifest)}, indent=1)
        scratch = path.with_suffix(".tmp")
        with scratch.open("w", encoding="utf-8") as file:
            # The first line proves the rest: a manifest of which a part is lost or changed is refused.
            file.write(hashlib.sha256(body.encode()).hexdigest() + "\n" + body)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
        return path

    def names(self) -> list[str]:
        """Return the names of the backups, oldest first."""
        return sorted(path.stem for path in (self.root / MANIFESTS).glob("*.json"))

    def read(self, name: str | None = None) -> BackupManifest:
        """Read a backup's manifest, by default the newest.

        Raises
        ------
        SourceError
            If there is none, or it was altered.
        """
        names = self.names()
        if not names or (name is not None and name not in names):
            raise SourceError(
                "There is no such backup." if names else "There is no backup here.",
                where=str(self.root / MANIFESTS),
                found=", ".join(names[-5:]) or "no manifest",
                expected=name or "a folder that `edpipe backup` wrote",
                state="Nothing was changed.",
            )
        path = self.root / MANIFESTS / f"{name or names[-1]}.json"
        digest, _, body = path.read_text(encoding="utf-8", errors="replace").partition("\n")
        if hashlib.sha256(body.encode()).hexdigest() != digest:
            raise altered(path, "a manifest that is not as it was written")
        values = json.loads(body)
        values.pop("format")
        files = tuple(StoredFile(**one) for one in values.pop("files"))
        return BackupManifest(files=files, **values)

    def copy_out(self, stored: StoredFile, target: Path) -> None:
        """Bring a file back, with its mode and time.

        Raises
        ------
        SourceError
            If its content is missing, torn or altered.
        """
        source = self.object_path(stored.sha256)
        target.parent.mkdir(parents=True, exist_ok=True)
        if not source.exists():
            raise altered(source, f"no content for `{stored.path}`")
        with source.open("rb") as reader, target.open("wb") as writer:
            os.fchmod(writer.fileno(), stored.mode)
            sha256, size = copy_hashed(reader, writer)
            writer.flush()
            os.fsync(writer.fileno())
        if (sha256, size) != (stored.sha256, stored.size):
            raise altered(
                source, f"the content of `{stored.path}` with {size:,} bytes and SHA-256 {sha256[:12]}…"
            )
        os.utime(target, ns=(stored.mtime_ns, stored.mtime_ns))


def altered(path: Path, found: str) -> SourceError:
    """Return the error for a backup that is not as it was written."""
    return SourceError(
        "The backup is torn or was altered.",
        where=str(path),
        found=found,
        expected="the content that was stored, by its SHA-256",
        next_step="Restore an earlier backup with `--at NAME`, or one from another place.",
        state="The home folder is as it was.",
    )


def hash_file(path: Path) -> tuple[str, int]:
    """Return SHA-256 and size of a file."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        for piece in _pieces(file):
            digest.update(piece)
            size += len(piece)
    return digest.hexdigest(), size


def copy_hashed(source: BinaryIO, target: BinaryIO) -> tuple[str, int]:
    """Copy and return SHA-256 and size of what was copied."""
    digest, size = hashlib.sha256(), 0
    for piece in _pieces(source):
        digest.update(piece)
        target.write(piece)
        size += len(piece)
    return digest.hexdigest(), size


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    while piece := file.read(_PIECE):
        yield piece
