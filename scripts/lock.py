"""Print what is installed as constraints: names and versions, no addresses, no local build tags."""

from __future__ import annotations

from importlib.metadata import distributions

OURS = {"edpipe", "pip", "setuptools"}


def main() -> None:
    found = {dist.metadata["Name"]: dist.version.split("+")[0] for dist in distributions()}
    for name in sorted(found, key=str.lower):
        if name not in OURS:
            print(f"{name}=={found[name]}")


if __name__ == "__main__":
    main()
