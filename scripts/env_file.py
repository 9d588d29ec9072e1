"""Write .env from .env.example with random secrets; one that is there is kept, and what it lacks is added."""

import os
import re
import secrets
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LINE = re.compile(r"([A-Z_]+)=(.*)")
LENGTH = 32


def written(example: str, known: dict[str, str]) -> str:
    """Return the lines of an example with known values, and random ones where there is none."""
    lines = []
    for line in example.splitlines():
        found = LINE.fullmatch(line)
        if not found:
            lines.append(line)
            continue
        name, given = found.groups()
        lines.append(f"{name}={known.get(name) or given or secrets.token_hex(LENGTH // 2)}")
    return "\n".join(lines) + "\n"


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT
    path = folder / ".env"
    known = {}
    if path.exists():
        known = dict(
            found.groups() for line in path.read_text().splitlines() if (found := LINE.fullmatch(line))
        )
    text = written((folder / ".env.example").read_text(), known)
    # Made readable by the owner alone before a secret is in it.
    temporary = folder / ".env.tmp"
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    temporary.replace(path)


if __name__ == "__main__":
    main()
