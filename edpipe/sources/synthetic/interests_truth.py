"""The truth of planted interests on disk, so that an evaluation can set it beside a model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from edpipe.errors import SettingsError
from edpipe.sources.synthetic.interests import SyntheticInterests

INTERESTS_FILE: Final = "planted_interests.parquet"
ITEMS_FILE: Final = "planted_items.parquet"


@dataclass(frozen=True, slots=True, eq=False)
class PlantedTruth:
    """Who is interested in what.

    Attributes
    ----------
    interests
        ``student, topic``: one row a planted interest; students are the numbers of the log.
    items
        ``item, topic``; topic 0 is that of the common items.
    noise
        Share of new items that have nothing to do with the interests.
    """

    interests: pl.DataFrame
    items: pl.DataFrame
    noise: float


def save_truth(folder: Path, made: SyntheticInterests, *, noise: float) -> None:
    """Write the truth of a log into a folder, the items last.

    Parameters
    ----------
    folder
        Where the two files go.
    made
        The log.
    noise
        Share of new items that have nothing to do with the interests, as the log was made with.
    """
    folder.mkdir(parents=True, exist_ok=True)
    items = made.items.select("item", "topic", pl.lit(noise).alias("noise"))
    for name, frame in ((INTERESTS_FILE, made.interests), (ITEMS_FILE, items)):
        scratch = folder / f".{name}"
        frame.write_parquet(scratch)
        scratch.replace(folder / name)


def read_truth(folder: Path) -> PlantedTruth:
    """Read what :func:`save_truth` wrote.

    Raises
    ------
    SettingsError
        If it is not there.
    """
    if not (folder / ITEMS_FILE).exists():
        raise SettingsError(
            "There is no planted truth here.",
            where=f"setting `diffumin.planted`: {folder}",
            expected=f"`{INTERESTS_FILE}` and `{ITEMS_FILE}`, as `save_truth` writes them",
            next_step="Name the folder, or leave the setting out: only synthetic data have a truth.",
            state="Nothing was written.",
        )
    items = pl.read_parquet(folder / ITEMS_FILE)
    return PlantedTruth(
        pl.read_parquet(folder / INTERESTS_FILE), items.select("item", "topic"), float(items["noise"][0])
    )
