"""Published ids as short labels of plots; the tables beside them have the ids whole."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

LONGEST = 9
LEAST_SHARED = 4


def short_names(ids: Sequence[str], *, longest: int = LONGEST) -> list[str]:
    """Return a label of at most ``longest`` characters for each id, different where the ids are.

    What stands before the last colon or the first slash is left out (``87`` of ``assist2009_pid:87``), then
    what all names begin with, up to the end of a word. A name that is still too long loses its middle; of
    names that become alike the later ones get a number.
    """
    names = [one.partition("/")[2] or one.rpartition(":")[2] for one in ids]
    names = [name.strip("[]{} ") or name for name in names]
    shared = re.sub(r"\w*$", "", os.path.commonprefix(names)) if len(names) > 1 else ""
    if len(shared) >= LEAST_SHARED:
        names = [name.removeprefix(shared) or name for name in names]
    used: dict[str, int] = {}
    labels = []
    for name in names:
        label = without_middle(name, longest)
        used[label] = used.get(label, 0) + 1
        if used[label] > 1:
            label = f"{label[: longest - 2]}·{used[label]}"
        labels.append(label)
    return labels


def without_middle(name: str, longest: int) -> str:
    """Return a name of at most ``longest`` characters: its beginning and its end, where it is longer."""
    if len(name) <= longest:
        return name
    tail = longest // 3
    return f"{name[: longest - 1 - tail]}…{name[-tail:]}"
