"""Datasets as folders: put in place whole, under their fingerprint, and opened by their description."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edpipe.errors import TrainingError

DESCRIPTION_FILE = "dataset.json"


def settle(scratch: Path, folder: Path, description: Mapping[str, Any]) -> Path:
    """Rename ``scratch`` to ``folder/<fingerprint>``, described, and return that.

    Equal data that lie there already are kept. ``scratch`` is there afterwards, so that what made it can
    remove it.
    """
    target = folder / str(description["fingerprint"])
    if not (target / DESCRIPTION_FILE).exists():
        (scratch / DESCRIPTION_FILE).write_text(json.dumps(description), encoding="utf-8")
        shutil.rmtree(target, ignore_errors=True)
        finished = scratch.with_name(scratch.name + "-done")
        scratch.rename(finished)
        finished.rename(target)
        scratch.mkdir()
    return target


def read_description(folder: Path, *, known_format: int, remedy: str) -> dict[str, Any]:
    """Return the description of a dataset.

    Parameters
    ----------
    folder
        The dataset's.
    known_format
        Format that can be read.
    remedy
        What makes the dataset again, as the end of "Delete it and ...".

    Raises
    ------
    TrainingError
        If the folder holds no finished dataset of this format.
    """
    file = folder / DESCRIPTION_FILE
    if not file.exists():
        raise TrainingError(
            "There is no dataset here.",
            where=str(folder),
            expected=f"a folder with `{DESCRIPTION_FILE}`",
            next_step=f"{remedy.capitalize()}, which writes it.",
        )
    values: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    if values["format"] != known_format:
        raise TrainingError(
            "The dataset has a format that this version does not read.",
            where=str(file),
            found=repr(values["format"]),
            expected=str(known_format),
            next_step=f"Delete `{folder}` and {remedy}.",
        )
    return values
