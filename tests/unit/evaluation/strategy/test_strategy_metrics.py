"""Scores of predicted strategies, by hand and against slow counting."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from strategy_data import Planted, planted

from edpipe.datasets.predicted import PredictedStrategies
from edpipe.errors import ContractError
from edpipe.evaluation.strategy.distances import edit_similarity, jaccard, lcs_f1
from edpipe.evaluation.strategy.metrics import attempt_scores, macro_mean, ratio, usual_strategy


def side_by_side(*sequences: str) -> tuple[np.ndarray, np.ndarray]:
    kcs = np.array([ord(letter) for letter in "".join(sequences)], dtype=np.int32)
    return kcs, np.concatenate([[0], np.cumsum([len(one) for one in sequences])]).astype(np.int64)


@pytest.mark.parametrize(
    ("said", "true", "expected"),
    [("abc", "abc", 1), ("aabb", "ba", 1), ("ab", "bc", 1 / 3), ("a", "b", 0), ("", "", 1), ("", "a", 0)],
)
def test_jaccard_ignores_order_and_repeats(said: str, true: str, expected: float) -> None:
    assert jaccard(*side_by_side(said), *side_by_side(true))[0] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("said", "true", "expected"),
    [
        ("kitten", "sitting", 1 - 3 / 7),
        ("abc", "abc", 1),
        ("abc", "", 0),
        ("", "", 1),
        ("ab", "ba", 0),
        ("abcd", "acd", 0.75),
    ],
)
def test_edit_similarity_of_known_pairs(said: str, true: str, expected: float) -> None:
    assert edit_similarity(*side_by_side(said), *side_by_side(true))[0] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("said", "true", "expected"),
    [("abcbdab", "bdcaba", 8 / 13), ("abc", "abc", 1), ("a", "b", 0), ("", "", 1), ("ab", "ba", 0.5)],
)
def test_the_longest_common_subsequence_of_known_pairs(said: str, true: str, expected: float) -> None:
    assert lcs_f1(*side_by_side(said), *side_by_side(true))[0] == pytest.approx(expected)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    return planted(tmp_path_factory.mktemp("planted"), num_students=12, num_sections=2)


def said_of(world: Planted, rows: np.ndarray, examples: np.ndarray) -> PredictedStrategies:
    kcs, start = world.dataset.strategies(examples)
    nothing = np.zeros(len(rows), dtype=np.int32)
    unknown = np.full(len(rows), np.nan)
    return PredictedStrategies(rows, kcs, start, unknown, unknown, nothing, nothing)


def test_true_strategies_have_full_scores(world: Planted) -> None:
    rows = np.arange(20)
    scores = attempt_scores(world.dataset, said_of(world, rows, rows))
    for metric in ("exact_match", "jaccard", "same_kcs", "edit_similarity", "lcs_f1"):
        assert ratio(scores, metric) == 1
    assert ratio(scores, "length_error") == 0


def test_what_was_not_given_is_not_scored(world: Planted) -> None:
    scores = attempt_scores(world.dataset, said_of(world, np.arange(5), np.arange(5)))
    assert np.isnan(ratio(scores, "log_likelihood"))
    assert np.isnan(ratio(scores, "next_kc_accuracy"))


def test_exact_match_is_equality_of_sequences(world: Planted) -> None:
    rows, others = np.arange(30), np.arange(30)[::-1].copy()
    found = attempt_scores(world.dataset, said_of(world, rows, others))["exact_match"].to_list()
    strategies = [world.dataset.strategy(int(row)).tolist() for row in rows]
    assert found == [float(one == other) for one, other in zip(strategies, strategies[::-1], strict=True)]


def test_log_likelihood_is_per_kc_and_end(world: Planted) -> None:
    rows = np.array([0, 1])
    said = said_of(world, rows, rows)
    lengths = [len(world.dataset.strategy(row)) for row in (0, 1)]
    given = PredictedStrategies(
        rows,
        said.kcs,
        said.start,
        said.confidence,
        np.array([-2.0, -3.0]),
        said.next_correct,
        said.next_asked,
    )
    expected = -5 / (sum(lengths) + 2)
    assert ratio(attempt_scores(world.dataset, given), "log_likelihood") == pytest.approx(expected)


def test_macro_means_weigh_problems_alike() -> None:
    scores = pl.DataFrame({"problem": [0, 0, 0, 1], "exact_match": [1.0, 1.0, 1.0, 0.0], "one": [1.0] * 4})
    assert ratio(scores, "exact_match") == 0.75
    assert macro_mean(scores, "exact_match", "problem") == 0.5


def test_a_confidence_above_one_is_refused(world: Planted) -> None:
    said = said_of(world, np.arange(2), np.arange(2))
    wrong = PredictedStrategies(
        said.rows,
        said.kcs,
        said.start,
        np.array([0.5, 1.5]),
        said.log_likelihood,
        said.next_correct,
        said.next_asked,
    )
    with pytest.raises(ContractError, match=r"1 of 2, first np.float64\(1.5\)|1 of 2, first 1.5"):
        attempt_scores(world.dataset, wrong)


def test_no_attempt_is_refused(world: Planted) -> None:
    empty = np.empty(0, dtype=np.int64)
    with pytest.raises(ContractError, match="nothing to score"):
        attempt_scores(world.dataset, said_of(world, empty, empty))


def test_the_usual_strategy_is_the_most_frequent_and_of_equals_the_first(world: Planted) -> None:
    dataset, train = world.dataset, np.arange(40)
    found = usual_strategy(dataset, train)
    for problem in range(dataset.num_problems):
        counts: dict[int, int] = {}
        for row in train[dataset.problem[train] == problem]:
            code = int(dataset.strategy_code[row])
            counts[code] = counts.get(code, 0) + 1
        assert found[problem] == max(counts, key=counts.__getitem__, default=-1)
