"""Secret keys in files, and hashes that nobody can make without them."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path
from typing import Final

from edpipe.errors import SettingsError

KEY_BYTES: Final = 32
_OTHERS: Final = 0o077


def keyed_hash(key: bytes, *parts: str) -> str:
    """Return HMAC-SHA256 of the parts, 64 hexadecimal digits; different parts never run together."""
    told = b"".join(len(part.encode()).to_bytes(8, "little") + part.encode() for part in parts)
    return hmac.new(key, told, hashlib.sha256).hexdigest()


def read_key(path: Path) -> bytes:
    """Read a secret key.

    Raises
    ------
    SettingsError
        If it is missing, shorter than 16 bytes, or others than its owner may read it.
    """
    try:
        mode = path.stat().st_mode
        key = path.read_bytes().strip()
    except OSError as error:
        raise SettingsError(
            "The secret key cannot be read.",
            where=str(path),
            found=error.strerror or str(error),
            expected="a file that its owner alone can read",
            state="Nothing was written.",
        ) from error
    if mode & _OTHERS:
        raise SettingsError(
            "Others can read the secret key.",
            where=str(path),
            found=f"mode {mode & 0o777:o}",
            expected="mode 600",
            next_step=f"Run `chmod 600 {path}`; if others may have read it, make a new one.",
            state="Nothing was written.",
        )
    if len(key) < 16:
        raise SettingsError(
            "The secret key is too short to be secret.",
            where=str(path),
            found=f"{len(key)} bytes",
            expected="16 bytes or more, for example of `openssl rand -hex 32`",
            state="Nothing was written.",
        )
    return key


def key_of_home(path: Path) -> bytes:
    """Read the key, or make one that only its owner can read; of two processes one makes it."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        temporary.unlink(missing_ok=True)
        write_private(temporary, secrets.token_hex(KEY_BYTES))
        try:
            # A link fails where the other process was first; a rename would replace its key.
            path.hardlink_to(temporary)
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
    return read_key(path)


def write_private(path: Path, text: str) -> None:
    """Write a new file that only its owner can read, down to the disk."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def replace_private(path: Path, text: str) -> None:
    """Replace a file that only its owner can read, by rename."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    write_private(temporary, text)
    temporary.replace(path)
