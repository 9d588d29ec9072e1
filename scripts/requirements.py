"""Print what edpipe needs, with the extras named, one requirement a line: for the image's first layer."""

import sys
import tomllib
from pathlib import Path


def main() -> None:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    print("\n".join([*project["dependencies"], *(line for name in sys.argv[1:] for line in extras[name])]))


if __name__ == "__main__":
    main()
