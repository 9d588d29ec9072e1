"""k-anonymity of groups: which are too small to show, and which must go with them."""

from __future__ import annotations

import polars as pl


def suppressed_values(members: pl.DataFrame, k: int) -> set[str]:
    """Return the values that must not be shown by themselves.

    Those of fewer than ``k`` students; and, so that what is left out cannot be told by subtraction from a
    total, further ones, those of fewest students first, until at least two are left out and they have ``k``
    students together. Where all are too few, all are left out.

    Parameters
    ----------
    members
        ``value, student``: who is in which group, each pair once.
    k
        Least number of students of what is shown.
    """
    sizes = members.group_by("value").agg(pl.len().alias("students")).sort("students", "value")
    values = sizes["value"].to_list()
    num_small = int((sizes["students"] < k).sum())
    if not num_small:
        return set()
    # By rank each value joins what is left out before it; a student counts where he joins first.
    ranked = sizes.select("value", rank=pl.int_range(pl.len(), dtype=pl.Int64))
    first = members.join(ranked, on="value").group_by("student").agg(pl.col("rank").min())
    joined = first.group_by("rank").len()
    together, number = 0, 0
    gains = dict(joined.rows())
    for rank in range(len(values)):
        if number >= max(num_small, 2) and together >= k:
            break
        together += gains.get(rank, 0)
        number += 1
    return set(values[:number])
