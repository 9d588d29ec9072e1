"""What is true of synthetic tutor students: groups, masteries, problems and their strategies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from edpipe.errors import SettingsError
from edpipe.sources.synthetic.contents import Floats, Ints

LEAST_KCS: Final = 4
MOST_STRATEGIES: Final = 12  # twice as many templates must fit the orders of four KCs
BOOKKEEPING: Final = ("DO NOT TRACK ME", "DON'T TRACK ME (digit entry)")
VERBS: Final = ("find", "compare", "enter", 'use "base" of', "convert", "estimate", "round")
NO_KC: Final = -1


@dataclass(frozen=True, slots=True)
class TutorWorld:
    """Students in mastery groups, and problems with several strategies each.

    Parameters
    ----------
    seed
        Seed of all draws.
    kc_names
        Names of KCs in the order of their codes, which is also the order of the names; behind them
        :data:`BOOKKEEPING`.
    student_group
        Group of each student. Shape ``(students,)``.
    group_mastery
        Mastery in [0, 1] before any practice. Shape ``(groups, KCs)``.
    mastery
        The same of each student: the group's, with a little of its own. Shape ``(students, KCs)``.
    section_templates
        Strategy templates that the problems of a section share. Shape ``(sections, templates a section)``.
    problem_templates
        Templates that solve a problem. Shape ``(problems, strategies)``; problem ``p`` stands in section
        ``p // problems_per_section``.
    template_strategy
        Ordered KC codes of each template; KCs of one step rise.
    template_start, step_kcs
        Steps of template ``t`` are ``template_start[t]`` up to ``template_start[t + 1]``; ``step_kcs`` has
        three codes a step: KC, second KC, bookkeeping KC, each -1 for none.
    preferred
        Which of the problem's strategies a group prefers: the one whose KCs it masters best.
        Shape ``(groups, problems)``.
    departure_rate
        Chance of one of the problem's other strategies, each equally likely, instead of the preferred.
    """

    seed: int
    kc_names: list[str]
    problems_per_section: int
    student_group: Ints
    group_mastery: Floats
    mastery: Floats
    section_templates: Ints
    problem_templates: Ints
    template_strategy: list[tuple[int, ...]]
    template_start: Ints
    step_kcs: Ints
    preferred: Ints
    departure_rate: float

    @property
    def num_kcs(self) -> int:
        """Return the number of KCs, bookkeeping not counted."""
        return int(self.group_mastery.shape[1])

    @property
    def choice_probability(self) -> Floats:
        """Return the chance of a strategy. Shape ``(groups, problems, strategies)``; last axis sums to 1."""
        num_groups, num_problems = self.preferred.shape
        num_strategies = self.problem_templates.shape[1]
        chance = np.full(
            (num_groups, num_problems, num_strategies), self.departure_rate / (num_strategies - 1)
        )
        np.put_along_axis(chance, self.preferred[:, :, None], 1 - self.departure_rate, axis=2)
        return chance

    @property
    def mixture(self) -> Floats:
        """Return the chance of a strategy over all students. Shape ``(problems, strategies)``."""
        share = np.bincount(self.student_group, minlength=len(self.group_mastery)) / self.student_group.size
        mixed: Floats = np.einsum("g,gps->ps", share, self.choice_probability)
        return mixed

    @property
    def usual(self) -> Ints:
        """Return which strategy is most likely overall, the first of equals. Shape ``(problems,)``."""
        return np.asarray(self.mixture.argmax(axis=1))

    @property
    def bayes_exact_match(self) -> float:
        """Return the best exact match of first views for who knows group and problem."""
        share = np.bincount(self.student_group, minlength=len(self.group_mastery)) / self.student_group.size
        return float(share @ self.choice_probability.max(axis=2).mean(axis=1))

    @property
    def usual_exact_match(self) -> float:
        """Return the exact match of first views if the usual strategy is always foretold."""
        return float(self.mixture.max(axis=1).mean())


def draw_tutor_world(
    num_students: int,
    num_sections: int,
    problems_per_section: int,
    num_kcs: int,
    *,
    strategies_per_problem: int = 5,
    num_groups: int = 3,
    departure_rate: float = 0.3,
    seed: int = 7,
) -> TutorWorld:
    """Draw students and problems in which the choice of a strategy follows mastery.

    A section has twice as many strategy templates as a problem has strategies; each of its problems takes
    a random half of them, so a problem never seen is partly foretold by its neighbors.

    Raises
    ------
    SettingsError
        If a number is out of range.
    """
    _check(num_students, num_sections, problems_per_section, num_kcs, num_groups)
    _check_strategies(strategies_per_problem, departure_rate)
    rng = np.random.default_rng([seed, 0])
    group = rng.permutation(np.arange(num_students) % num_groups)
    # Later groups master more KCs; which ones differs, so that preferences differ.
    share = np.linspace(0.35, 0.65, num_groups)[:, None]
    is_high = rng.random((num_groups, num_kcs)) < share
    group_mastery = np.where(
        is_high, rng.uniform(0.7, 0.95, is_high.shape), rng.uniform(0.05, 0.3, is_high.shape)
    )
    mastery = np.clip(group_mastery[group] + rng.normal(0, 0.05, (num_students, num_kcs)), 0.01, 0.99)
    num_templates = 2 * strategies_per_problem
    strategies, steps = _draw_templates(num_sections, num_templates, num_kcs, rng)
    order = rng.random((num_sections * problems_per_section, num_templates)).argsort(axis=1)
    section = np.arange(len(order)) // problems_per_section
    templates = order[:, :strategies_per_problem] + section[:, None] * num_templates
    fit = np.stack([group_mastery[:, list(strategy)].mean(axis=1) for strategy in strategies], axis=1)
    return TutorWorld(
        seed=seed,
        kc_names=[f"Skill-{code:04d} {VERBS[code % len(VERBS)]} x" for code in range(num_kcs)]
        + list(BOOKKEEPING),
        problems_per_section=problems_per_section,
        student_group=group,
        group_mastery=group_mastery,
        mastery=mastery,
        section_templates=np.arange(num_sections * num_templates).reshape(num_sections, num_templates),
        problem_templates=templates,
        template_strategy=strategies,
        template_start=np.concatenate([[0], np.cumsum([len(rows) for rows in steps])]),
        step_kcs=np.array([row for rows in steps for row in rows], dtype=np.int64),
        preferred=fit[:, templates].argmax(axis=2),
        departure_rate=departure_rate,
    )


def _draw_templates(
    num_sections: int, num_templates: int, num_kcs: int, rng: np.random.Generator
) -> tuple[list[tuple[int, ...]], list[list[list[int]]]]:
    strategies: list[tuple[int, ...]] = []
    steps: list[list[list[int]]] = []
    width = min(num_kcs, max(LEAST_KCS + 2, num_kcs // num_sections + 2))
    for _ in range(num_sections):
        kcs = rng.choice(num_kcs, width, replace=False)
        known: set[tuple[int, ...]] = set()
        while len(known) < num_templates:
            rows = _draw_steps(rng.permutation(kcs)[: rng.integers(2, 7)].tolist(), num_kcs, rng)
            strategy = tuple(kc for row in rows for kc in row[:2] if kc != NO_KC)
            if strategy not in known:
                known.add(strategy)
                strategies.append(strategy)
                steps.append(rows)
    return strategies, steps


def _draw_steps(kcs: list[int], num_kcs: int, rng: np.random.Generator) -> list[list[int]]:
    """Cut an order of KCs into steps of one or two, with untagged steps between."""
    rows: list[list[int]] = []
    while kcs:
        count = 2 if len(kcs) > 3 and rng.random() < 0.3 else 1
        taken, kcs = sorted(kcs[:count]), kcs[count:]
        note = num_kcs + int(rng.integers(len(BOOKKEEPING))) if rng.random() < 0.05 else NO_KC
        rows.append([*taken, *[NO_KC] * (2 - count), note])
        if rng.random() < 0.3:
            untagged = num_kcs + int(rng.integers(len(BOOKKEEPING))) if rng.random() < 0.2 else NO_KC
            rows.append([NO_KC, NO_KC, untagged])
    return rows


def _check(num_students: int, num_sections: int, num_problems: int, num_kcs: int, num_groups: int) -> None:
    if min(num_students, num_sections, num_problems, num_groups) < 1 or num_kcs < LEAST_KCS:
        raise SettingsError(
            "A synthetic tutor needs students, sections, problems and KCs.",
            where="`num_students`, `num_sections`, `problems_per_section`, `num_groups`, `num_kcs`",
            found=f"{num_students}, {num_sections}, {num_problems}, {num_groups}, {num_kcs}",
            expected=f"1 or more of each, {LEAST_KCS} or more KCs",
            next_step="Ask for more.",
        )


def _check_strategies(num_strategies: int, departure_rate: float) -> None:
    if not 2 <= num_strategies <= MOST_STRATEGIES or not 0 <= departure_rate <= 1:
        raise SettingsError(
            "The strategies of synthetic problems are out of range.",
            where="`strategies_per_problem`, `departure_rate`",
            found=f"{num_strategies}, {departure_rate}",
            expected=f"2 to {MOST_STRATEGIES} strategies, a rate in [0, 1]",
            next_step="Choose others.",
        )
