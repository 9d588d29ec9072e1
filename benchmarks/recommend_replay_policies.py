"""Who chooses the next item in the replay of recommendations, from plain rules to who knows the truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from recommend_replay_world import OUTCOMES, World

from edpipe.prediction.mastery import choose_probes
from edpipe.prediction.recommend import History, ItemScorer, best_places
from edpipe.setting_groups_diffumin import DiffuMINSettings
from models.batches import InteractionBatch

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
DEFAULTS = DiffuMINSettings()
HISTORIES_AT_ONCE = 50


@dataclass(frozen=True, eq=False)
class Asked:
    """One choice: what a student did, what there is to choose from, and what only the oracle may read."""

    student: int
    items: Integers
    correct: NDArray[np.bool_]
    candidates: Integers
    true_gains: Floats


Policy = Callable[[Asked], int]


class Policies:
    """Policies of one world; those that draw do so from a stream of their own."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.members = world.simulator.members
        self.popularity = np.bincount(world.log["item"].to_numpy(), minlength=len(self.members))
        self.random = np.random.default_rng([world.seed, 71])

    def prepare(self) -> None:
        """Train all models, so that no choice pays for it."""
        _ = self.scorer, self.probes, self.world.learning

    def plain(self) -> dict[str, Policy]:
        """Return policies by name, from blind ones to those that know what a student has learnt."""
        return {
            "random": lambda asked: self.any_of(asked.candidates),
            "popularity": lambda asked: top(asked.candidates, self.popularity[asked.candidates]),
            "most KCs": self.most_kcs,
            "mastery threshold": self.threshold,
            "recommender": lambda asked: self.recommended(asked, by_gain=False),
            "recommender, by gain": lambda asked: self.recommended(asked, by_gain=True),
            "gain, of all items": lambda asked: top(asked.candidates, self.gains(asked)),
        }

    def by_tracer(self) -> dict[str, Policy]:
        """Return policies that try each item on the tracer."""
        return {
            "tracer's gain, all KCs": lambda asked: top(
                asked.candidates, self.tracer_gains(asked).mean(axis=1)
            ),
            "tracer's gain, own KCs": lambda asked: top(
                asked.candidates, (self.tracer_gains(asked) * self.members[asked.candidates]).sum(axis=1)
            ),
        }

    @staticmethod
    def oracle() -> dict[str, Policy]:
        """Return who knows the truth."""
        return {"oracle": lambda asked: top(asked.candidates, asked.true_gains[asked.candidates])}

    def any_of(self, items: Integers) -> int:
        """Draw an item evenly."""
        return int(items[self.random.integers(len(items))])

    def most_kcs(self, asked: Asked) -> int:
        """Choose an item of the most KCs, whatever the student knows."""
        count = self.members[asked.candidates].sum(axis=1)
        return self.any_of(asked.candidates[count == count.max()])

    def known(self, asked: Asked) -> Floats:
        """Return the chance, by BKT, that the student knows each KC."""
        log = pl.DataFrame({"student": 0, "item": asked.items, "is_correct": asked.correct})
        return self.world.learning.known(self.world.answers_by_kc(log))

    def threshold(self, asked: Asked) -> int:
        """Practise the first KC, in order, that is not mastered; one of its items, drawn evenly."""
        for kc in np.flatnonzero(self.known(asked) < DEFAULTS.mastered_from):
            of_kc = asked.candidates[self.members[asked.candidates, kc] > 0]
            if len(of_kc):
                return self.any_of(of_kc)
        return self.any_of(asked.candidates)

    def gains(self, asked: Asked) -> Floats:
        """Return how many KCs each candidate is expected to teach, by BKT."""
        return self.world.learning.gains(self.known(asked), self.world.item_kcs)[asked.candidates]

    @cached_property
    def scorer(self) -> ItemScorer:
        """The recommender, asked as `edpipe recommend` asks it."""
        return ItemScorer(self.world.recommender, self.world.catalog)

    def recommended(self, asked: Asked, *, by_gain: bool) -> int:
        """Choose what the recommender ranks first, or what teaches most among what it ranks high."""
        words = [OUTCOMES[0] if right else OUTCOMES[1] for right in asked.correct]
        history = History(asked.student, asked.items, words, np.unique(asked.items))
        chances = self.scorer.probabilities(history, asked.candidates)
        gains = self.gains(asked) if by_gain else None
        best = best_places(chances, asked.candidates, 1, gains=gains, num_reranked=DEFAULTS.num_reranked)
        return int(asked.candidates[best[0]])

    @cached_property
    def tracer_numbers(self) -> tuple[Integers, Integers]:
        """Numbers of all items and their KCs in the tracer's vocabulary."""
        data, vocabulary = self.world.tracing_data, self.world.tracer.vocabulary
        return data.item_numbers(vocabulary), data.kc_table(vocabulary)

    @cached_property
    def probes(self) -> tuple[torch.Tensor, torch.Tensor, Floats]:
        """Items that stand for each KC, as in the tracer's mastery, and their weights."""
        found = choose_probes(self.world.tracing_data, self.world.tracer.vocabulary)
        return torch.from_numpy(found.items), torch.from_numpy(found.kcs), found.weights

    def tracer_gains(self, asked: Asked) -> Floats:
        """Return by how much an attempt is expected to raise the tracer's mastery of each KC.

        The attempt is appended once as right and once as wrong; mastery after each is weighted by the
        tracer's chance of it, and mastery now is taken off. Shape ``(candidates, KCs)``.
        """
        tracer = self.world.tracer
        items, kcs = self.tracer_numbers
        recent = asked.items[-(tracer.context_length - 1) :]
        correct = asked.correct[-len(recent) :].astype(np.float32)
        now = _batch(items[recent][None], kcs[recent][None], correct[None])
        with torch.inference_mode():
            asked_items = torch.from_numpy(items[asked.candidates])
            asked_kcs = torch.from_numpy(kcs[asked.candidates])
            chances = tracer.model.probe(now, asked_items, asked_kcs)[0].double().numpy()[:, None]
        return (
            chances * self._mastery_after(asked, recent, correct, 1.0)
            + (1 - chances) * self._mastery_after(asked, recent, correct, 0.0)
            - self._mastery(now)
        )

    def _mastery(self, batch: InteractionBatch) -> Floats:
        items, kcs, weights = self.probes
        with torch.inference_mode():
            return self.world.tracer.model.probe(batch, items, kcs).double().numpy() @ weights.T

    def _mastery_after(
        self, asked: Asked, recent: Integers, correct: NDArray[np.float32], outcome: float
    ) -> Floats:
        items, kcs = self.tracer_numbers
        found = []
        for start in range(0, len(asked.candidates), HISTORIES_AT_ONCE):
            tried = asked.candidates[start : start + HISTORIES_AT_ONCE]
            rows = np.concatenate([np.tile(recent, (len(tried), 1)), tried[:, None]], axis=1)
            answers = np.concatenate(
                [np.tile(correct, (len(tried), 1)), np.full((len(tried), 1), outcome)], axis=1
            )
            found.append(self._mastery(_batch(items[rows], kcs[rows], answers.astype(np.float32))))
        return np.concatenate(found)


def top(candidates: Integers, values: NDArray[np.generic]) -> int:
    """Return the candidate of the largest value, the first of equals."""
    return int(candidates[np.argmax(values)])


def _batch(items: Integers, kcs: Integers, correct: NDArray[np.float32]) -> InteractionBatch:
    """Return histories of equal length whose times are not known."""
    nothing = torch.zeros(items.shape)
    return InteractionBatch(
        items=torch.from_numpy(items),
        kcs=torch.from_numpy(kcs),
        correct=torch.from_numpy(correct),
        mask=torch.ones(items.shape, dtype=torch.bool),
        elapsed=nothing,
        lag=nothing,
    )
