"""Which items a student is chosen from, and how many each rule leaves out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from edpipe.prediction.recommend import History, Integers

if TYPE_CHECKING:
    from edpipe.mastery.kc_learning import ItemKCs
    from edpipe.prediction.histories import PublishedHistories
    from edpipe.prediction.learning import PublishedLearning
    from edpipe.setting_groups_diffumin import DiffuMINSettings

MET: Final = "met before"
NOT_DEPLOYED: Final = "not deployed yet"
MASTERED: Final = "mastered"
LATEST: Final = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Items to choose from for one student.

    Attributes
    ----------
    rows
        Rows of the catalog. Shape ``(num_candidates,)``.
    gains
        KCs that an attempt at each is expected to teach; None where nobody asks for it. Shape
        ``(num_candidates,)``.
    left_out
        Items that each rule in force left out, by its name; an item counts at the first rule that does.
    num_undated
        Items that were kept although it is not known whether they were there by then.
    """

    rows: Integers
    gains: np.ndarray | None
    left_out: Mapping[str, int]
    num_undated: int


class CandidateRules:
    """Leave out items that a student met, that were not there yet, or whose KCs the student knows.

    Parameters
    ----------
    asked
        Which rules are in force.
    histories
        The log.
    learning
        What students have learnt; asked only where a rule or the order needs it.
    candidates
        Rows of the catalog before any rule. Shape ``(num_candidates,)``.
    """

    def __init__(
        self,
        asked: DiffuMINSettings,
        histories: PublishedHistories,
        learning: PublishedLearning,
        candidates: Integers,
    ) -> None:
        self._asked = asked
        self._candidates = candidates
        self._learning = learning
        self._since = histories.in_use_since[candidates] if asked.is_deployed_only else None
        self._items: ItemKCs | None = None
        if asked.is_unmastered_only or asked.rank_by == "gain":
            self._items = learning.items(histories.catalog[candidates.tolist()])

    def of(self, history: History, *, now: int | None = None) -> Candidates:
        """Return what is left for a student.

        Parameters
        ----------
        history
            What the student did.
        now
            Time at which items must be there, ms since 1970; by default that of the last behavior. Where
            neither is known, no item is left out for its date.
        """
        rules: dict[str, np.ndarray] = {}
        gains, num_undated = None, 0
        if self._asked.is_new_only:
            rules[MET] = np.isin(self._candidates, history.met)
        now = history.last_milliseconds if now is None else now
        if self._since is not None:
            rules[NOT_DEPLOYED] = self._since > (LATEST if now is None else now)
        if self._items is not None:
            known = self._learning.known(history.student)
            if self._asked.rank_by == "gain":
                gains = self._learning.model.gains(known, self._items)
            if self._asked.is_unmastered_only:
                from_ = self._asked.mastered_from
                rules[MASTERED] = self._learning.model.is_mastered(known, self._items, from_)
        is_left = np.ones(len(self._candidates), dtype=np.bool_)
        left_out = {}
        for name, is_out in rules.items():
            left_out[name] = int((is_left & is_out).sum())
            is_left &= ~is_out
        if self._since is not None:
            is_undated = self._since < 0 if now is not None else np.ones_like(is_left)
            num_undated = int((is_left & is_undated).sum())
        return Candidates(
            self._candidates[is_left], None if gains is None else gains[is_left], left_out, num_undated
        )


def left_out_words(left_out: Mapping[str, int], num_undated: int) -> str:
    """Return how many items each rule left out, as text; empty where no rule was in force."""
    parts = [f"{number:,} {name}" for name, number in left_out.items()]
    words = f"left out: {', '.join(parts)}" if parts else ""
    return f"{words}; {num_undated:,} of unknown deployment kept" if num_undated else words
