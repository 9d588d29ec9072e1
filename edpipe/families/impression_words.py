"""What became of the behaviors that a recommender could learn from, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def impression_words(data: Mapping[str, Any]) -> tuple[str, ...]:
    """Return sentences about targets and about behaviors that are none; nothing for other families.

    Parameters
    ----------
    data
        That of a training run.
    """
    counts = data.get("impressions")
    if not counts:
        return ()
    parts = ", ".join(f"{part} {counts[part]:,}" for part in ("train", "valid", "test"))
    told = (
        f"Targets ({data['target']}): {parts}, of {counts['behaviors']:,} behaviors of "
        f"{data['num_students']:,} students.",
    )
    left = {name: counts[name] for name in ("no target", "short history", "before the kept sequence")}
    kept = [f"{name} {count:,}" for name, count in left.items() if count]
    return (*told, *([f"Other behaviors: {', '.join(kept)}."] if kept else []))
