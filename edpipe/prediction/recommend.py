"""What a trained recommender would show a student next, and which past behaviors carry it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edpipe.errors import SettingsError
from edpipe.prediction.diffumin import TrainedRecommender

if TYPE_CHECKING:
    from torch import Tensor

    from models.diffumin.caches import BehaviorCache

Integers = NDArray[np.int64]
MOST_REASONS: Final = 3


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """What a student did, oldest first.

    Attributes
    ----------
    student
        Key of the student.
    items
        Row of the catalog of each behavior. Shape ``(num_behaviors,)``.
    outcomes
        Word for what came of each; None where there is none.
    met
        Rows of the catalog that the student ever met, also before ``items`` begin.
    last_milliseconds
        When the last behavior was, ms since 1970; None where that is not known.
    """

    student: int
    items: Integers
    outcomes: Sequence[str | None]
    met: Integers
    last_milliseconds: int | None = None


@dataclass(frozen=True, slots=True)
class Reason:
    """A past behavior that carries a score.

    Attributes
    ----------
    item_id
        What was done.
    steps_back
        1 for the latest behavior.
    channel
        Channel that kept it, from 1.
    weight
        Its weight in the interest of this channel.
    channel_effect
        What the channel adds to the logit of the score; below 0 it speaks against the item.
    """

    item_id: str
    steps_back: int
    channel: int
    weight: float
    channel_effect: float


@dataclass(frozen=True, slots=True)
class Grounds:
    """What a score of one item rests on.

    Attributes
    ----------
    reasons
        Past behaviors that channels kept, the heaviest first; none where the network has no channels.
    overall_effect
        What the mean of all behaviors adds to the logit; None where the network does not read it.
    """

    reasons: tuple[Reason, ...] = ()
    overall_effect: float | None = None


class ItemScorer:
    """Score items of a catalog for one student at a time; equal calls give equal bits.

    Parameters
    ----------
    trained
        A trained recommender.
    catalog
        ``item_id, category_ids, part``; items that training never met are scored by the rest.

    Raises
    ------
    SettingsError
        If the network draws new noise for each score.
    """

    def __init__(self, trained: TrainedRecommender, catalog: pl.DataFrame) -> None:
        import torch

        from models.diffumin.serving import Scorer

        try:
            self._scorer = Scorer(trained.model)
        except ValueError as error:
            raise SettingsError(
                "This recommender cannot be asked: it would answer differently each time.",
                where="the trained network",
                found=str(error),
                expected="a network without new noise, as `diffumin.preset=default` gives",
                next_step="Train with `--set diffumin.preset=default`; the other presets are for comparison.",
                state="Nothing was written.",
            ) from error
        self._trained = trained
        self._ids = catalog["item_id"].to_list()
        self._device = next(trained.model.parameters()).device
        self._fields = torch.from_numpy(trained.features.items(catalog)).to(self._device)
        self._items = self._scorer.cache_items(self._fields)

    def probabilities(
        self, history: History, candidates: Integers, *, gap_seconds: float = float("nan")
    ) -> NDArray[np.float64]:
        """Return the probability that each candidate is taken up. Shape ``(num_candidates,)``.

        Parameters
        ----------
        history
            Of the student.
        candidates
            Rows of the catalog.
        gap_seconds
            Time since the last behavior; NaN where it is not known.
        """
        import torch

        rows = torch.from_numpy(candidates).to(self._device)
        context = self._context(history, len(candidates), gap_seconds)
        scores = self._scorer.score(self._behaviors(history), self._items.rows(rows), context)
        found: NDArray[np.float64] = scores.probabilities.double().cpu().numpy()
        return found

    def grounds(
        self,
        history: History,
        item: int,
        *,
        gap_seconds: float = float("nan"),
        most: int | None = MOST_REASONS,
    ) -> Grounds:
        """Return what weighs most in the score of an item.

        At most ``most`` behaviors, None is all that a channel kept; nothing where there is no behavior, or
        where the network has no channels or no weights.
        """
        import torch

        from models.diffumin.evidence import explain

        config = self._trained.model.config
        if config.long_term != "diffumin" or config.pooling not in {"mean", "sim", "released", "softmax"}:
            return Grounds()
        if not len(history.items):
            return Grounds()
        rows = torch.tensor([item], device=self._device)
        context = self._context(history, 1, gap_seconds)
        found = explain(self._scorer, self._behaviors(history), self._items.rows(rows), context)
        shown = self._shown(history)
        reasons = tuple(
            Reason(
                item_id=self._ids[shown[place]],
                steps_back=len(shown) - place,
                channel=channel + 1,
                weight=weight,
                channel_effect=float(found.channel_effects[channel]),
            )
            for place, channel, weight in zip(
                found.behaviors[:most].tolist(),
                found.channels[:most].tolist(),
                found.weights[:most].tolist(),
                strict=True,
            )
        )
        return Grounds(reasons, found.overall_effect if config.has_overall else None)

    def _shown(self, history: History) -> Integers:
        """Return the behaviors that the network is shown: the latest."""
        return history.items[-int(self._trained.options["max_length"]) :]

    def _behaviors(self, history: History) -> BehaviorCache:
        import torch

        cache = self._scorer.cache_behaviors(history.student)
        shown = self._shown(history)
        if len(shown):
            words = [word or "" for word in history.outcomes[-len(shown) :]]
            outcomes = self._trained.features.outcome_numbers(words)
            cache.append(self._fields[torch.from_numpy(shown)], torch.from_numpy(outcomes).to(self._device))
        return cache

    def _context(self, history: History, number: int, gap_seconds: float) -> Tensor:
        import torch

        lengths = np.full(number, len(history.items), dtype=np.int64)
        context = self._trained.features.context(lengths, np.full(number, gap_seconds))
        return torch.from_numpy(context).to(self._device)


def candidate_rows(trained: TrainedRecommender, catalog: pl.DataFrame, number: int) -> Integers:
    """Return the rows of the items to score: those that training met most often, equal ones by id.

    Parameters
    ----------
    trained
        Knows how often training rows hold each item; items that they do not hold are no candidates.
    catalog
        Items that there are now.
    number
        Most candidates; 0 is all.
    """
    known = trained.catalog.filter(pl.col("popularity") > 0).select("item_id", "popularity")
    rows = (
        catalog.select("item_id")
        .with_row_index("row")
        .join(known, on="item_id", how="inner")
        .sort("popularity", "item_id", descending=[True, False])
    )
    found: Integers = rows["row"].to_numpy().astype(np.int64)
    return found[: number or None]


def ranked(probabilities: NDArray[np.float64], candidates: Integers, number: int) -> Integers:
    """Return places of the best candidates, the best first; equal ones by row of the catalog."""
    found: Integers = np.lexsort((candidates, -probabilities))[:number]
    return found


def best_places(
    probabilities: NDArray[np.float64],
    candidates: Integers,
    number: int,
    *,
    gains: NDArray[np.float64] | None = None,
    num_reranked: int = 0,
) -> Integers:
    """Return places of the best candidates, the best first.

    By probability; or, of the most probable, by gain.

    Parameters
    ----------
    probabilities, candidates
        Of each candidate. Shape ``(num_candidates,)``.
    number
        Most places returned.
    gains
        What each candidate is expected to teach; None leaves the order by probability.
    num_reranked
        How many of the most probable are put in order of their gain, equal ones by probability. The others
        follow.
    """
    if gains is None:
        return ranked(probabilities, candidates, number)
    first = ranked(probabilities, candidates, max(num_reranked, number))
    head, tail = first[:num_reranked], first[num_reranked:]
    found: Integers = np.concatenate([head[np.argsort(-gains[head], kind="stable")], tail])[:number]
    return found
