"""Names of what an evaluation of a recommender leaves behind, for those who only read it."""

from __future__ import annotations

from typing import Final

PAIRED_FILE: Final = "paired.parquet"
# How channels are loaded, and an example student: written beside the evaluation by whoever knows the network.
CHANNELS_FILE: Final = "channels.parquet"
EXAMPLE_FILE: Final = "example.parquet"
PLANTED: Final = "planted truth"
# Shortest and longest history of each subset, in behaviors; None is without end.
HISTORIES: Final[tuple[tuple[int, int | None], ...]] = (
    (0, 0),
    (1, 20),
    (21, 100),
    (101, 1_000),
    (1_001, None),
)


def history_name(low: int, high: int | None) -> str:
    """Return the name of a subset of rows by the length of their history."""
    if high is None:
        return f"history:{low:,}+"
    return f"history:{low:,}" if low == high else f"history:{low:,}-{high:,}"
