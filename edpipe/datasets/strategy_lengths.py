"""How many steps the strategies of a dataset have: one step has no order to predict."""

from __future__ import annotations

import numpy as np

from edpipe.datasets.strategy import Places, StrategyDataset

MOSTLY = 0.5


def single_step_share(dataset: StrategyDataset, rows: Places) -> float:
    """Return the share of attempts, in [0, 1], that have a single step with a KC; 0 without attempts.

    Parameters
    ----------
    dataset
        Attempts.
    rows
        Those that are looked at. Shape ``(n,)``.
    """
    steps = np.diff(dataset.step_start)[rows]
    return float((steps == 1).mean()) if len(steps) else 0.0


def single_step_words(share: float) -> str | None:
    """Say that most attempts have a single step, where more than half do; otherwise None."""
    if share <= MOSTLY:
        return None
    return (
        f"{100 * share:.0f} % of the attempts have a single step with a KC: their strategy is the KCs of "
        "one step, and there is no order to predict. Scores of such strategies are not comparable with "
        "those of problems in several steps."
    )
