"""Each baseline computes what its docstring says."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy.sparse import csr_array
from sklearn.linear_model import LogisticRegression
from unit.evaluation.simulated_answers import simulate, simulate_bkt

from edpipe.evaluation.baselines import BKT, BestLR, ItemDifficulty, Majority, logistic
from edpipe.evaluation.baselines.base import some_students
from edpipe.evaluation.baselines.item_kcs import ItemKcs
from edpipe.evaluation.metrics import auc, log_loss
from edpipe.mastery import bkt_kernel


def rows(answers: list[tuple[int, int, int, int]], split: str = "train") -> pl.DataFrame:
    schema = ["student_key", "interaction_number", "item_key", "is_correct"]
    return pl.DataFrame(answers, schema=schema, orient="row").with_columns(
        pl.col("is_correct").cast(pl.Boolean), split=pl.lit(split)
    )


def pairs(*given: tuple[int, int]) -> pl.DataFrame:
    return pl.DataFrame(list(given), schema={"item_key": pl.Int64, "kc_key": pl.Int64}, orient="row")


def test_majority_predicts_the_training_share():
    answers = rows([(1, 1, 1, 1), (1, 2, 1, 1), (2, 1, 1, 0), (2, 2, 1, 1)])
    assert Majority().fit(answers, pairs()).predict(answers)["probability"].to_list() == [0.75] * 4


def test_item_difficulty_is_drawn_to_the_overall_share():
    answers = rows([(1, 1, 1, 1), (1, 2, 1, 1), (2, 1, 2, 0), (2, 2, 1, 1)])
    fitted = ItemDifficulty(smoothing=2).fit(answers, pairs())
    asked = rows([(9, 1, 1, 0), (9, 2, 2, 0), (9, 3, 3, 0)])
    assert fitted.predict(asked)["probability"].to_list() == pytest.approx([4.5 / 5, 1.5 / 3, 0.75])


def test_bkt_finds_planted_parameters():
    planted = {1: (0.3, 0.15, 0.2, 0.1), 2: (0.6, 0.05, 0.3, 0.05), 3: (0.1, 0.3, 0.1, 0.2)}
    answers, item_kcs = simulate_bkt(5000, 12, planted, seed=1)
    found = BKT().fit(answers, item_kcs).parameters
    for kc, parameters in planted.items():
        row = found.filter(pl.col("kc_key") == kc).select("prior", "learn", "guess", "slip").row(0)
        assert row == pytest.approx(parameters, abs=0.025)


def test_bkt_likelihood_never_falls():
    random = np.random.default_rng(0)
    sequences = (random.random(3000) < 0.6).astype(np.uint8)
    starts = np.arange(0, 3001, 10)
    parameters = np.array([0.4, 0.1, 0.25, 0.1])
    likelihoods = []
    for _ in range(30):
        events, chances, likelihood = bkt_kernel.expect(sequences, starts, parameters)
        likelihoods.append(likelihood)
        parameters = events / chances
    assert (np.diff(likelihoods) >= -1e-9).all()


def test_bkt_expectations_equal_a_sum_over_all_state_paths():
    parameters = np.array([0.35, 0.2, 0.3, 0.15])
    sequence = np.array([0, 1, 1, 0, 1], dtype=np.uint8)
    events, chances, likelihood = bkt_kernel.expect(sequence, np.array([0, 5]), parameters)
    expected_events, expected_chances, total = np.zeros(4), np.zeros(4), 0.0
    prior, learn, guess, slip = parameters
    for learned_at in range(6):  # unknown before this step, known from it on
        known = np.arange(5) >= learned_at
        weight = prior if learned_at == 0 else (1 - prior)
        for step in range(1, 5):
            if not known[step - 1]:
                weight *= learn if known[step] else 1 - learn
        right = np.where(known, 1 - slip, guess)
        weight *= np.where(sequence == 1, right, 1 - right).prod()
        total += weight
        wrong = 1 - sequence
        expected_events += weight * np.array(
            [known[0], 1 <= learned_at <= 4, sequence[~known].sum(), wrong[known].sum()]
        )
        expected_chances += weight * np.array([1, (~known[:4]).sum(), (~known).sum(), known.sum()])
    assert likelihood == pytest.approx(np.log(total))
    assert events == pytest.approx(expected_events / total)
    assert chances == pytest.approx(expected_chances / total)


def test_bkt_predicts_by_hand_and_means_over_the_kcs_of_an_item():
    parameters = np.array([[0.5, 0.1, 0.2, 0.1], [0.2, 0.3, 0.25, 0.05]])
    item_kcs = ItemKcs.from_frame(pairs((1, 7), (2, 7), (2, 9)))
    probability = bkt_kernel.trace(
        np.array([0, 2]),
        np.array([1, 2]),
        np.array([1, 0], dtype=np.uint8),
        item_kcs.starts,
        item_kcs.kcs,
        parameters,
        0.5,
    )
    first = 0.5 * 0.9 + 0.5 * 0.2
    known = 0.5 * 0.9 / first
    known += (1 - known) * 0.1
    second = (known * 0.9 + (1 - known) * 0.2 + 0.2 * 0.95 + 0.8 * 0.25) / 2
    assert probability == pytest.approx([first, second])


def test_bkt_of_a_kc_never_trained_takes_the_parameters_of_all_kcs():
    answers, item_kcs = simulate_bkt(500, 6, {1: (0.3, 0.15, 0.2, 0.1)}, seed=1)
    fitted = BKT().fit(answers, pl.concat([item_kcs, pairs((2, 2))])).parameters
    first, second = (fitted.drop("kc_key").row(number) for number in (0, 1))
    assert second == pytest.approx(first, abs=0.02)


def test_counts_of_earlier_answers_by_hand():
    # Items 1 (KC 5) and 2 (KCs 5, 6); one student, three answers; then another student.
    item_kcs = ItemKcs.from_frame(pairs((1, 5), (2, 5), (2, 6)))
    values, columns, offsets = logistic._count_features(
        np.array([0, 3, 4]),
        np.array([1, 2, 1, 2]),
        np.array([1, 0, 1, 1], dtype=np.uint8),
        item_kcs.starts,
        item_kcs.kcs,
        3,
        2,
    )
    dense = np.zeros((4, 3 + 3 * 2 + 6))
    for row in range(4):
        at = slice(offsets[row], offsets[row + 1])
        dense[row, columns[at]] = values[at]
    log2, log15 = np.log1p(1), np.log1p(0.5)
    # columns: items 0-2 | KCs 5, 6 | wrong of 5, 6 | right of 5, 6 | student, item, mean KC: wrong, right
    expected = [
        [0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        [0, 0, 1, 1, 1, 0, 0, log2, 0, 0, log2, 0, 0, 0, log15],
        [0, 1, 0, 1, 0, log2, 0, log2, 0, log2, log2, 0, log2, log2, log2],
        [0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ]
    np.testing.assert_allclose(dense, expected)


def test_weights_equal_scikit_learns():
    random = np.random.default_rng(4)
    features = csr_array(random.normal(size=(600, 8)) * np.geomspace(0.01, 10, 8))
    correct = (random.random(600) < 1 / (1 + np.exp(-(features @ random.normal(size=8))))).astype(float)
    theirs = LogisticRegression(C=0.5, tol=1e-9, max_iter=5000).fit(features, correct)
    found = logistic.fit_weights(features, correct, strength=0.5)
    probability = 1 / (1 + np.exp(-(features @ found[:-1] + found[-1])))
    assert probability == pytest.approx(theirs.predict_proba(features)[:, 1], abs=5e-3)


def test_logistic_regression_uses_history_beyond_item_difficulty():
    answers, item_kcs = simulate(300, mean_answers=40)
    asked = answers.filter(pl.col("split") == "test")
    truth = asked.sort("student_key", "interaction_number")
    right = truth["is_correct"].to_numpy()
    scores = {}
    for baseline in (ItemDifficulty(), BestLR()):
        scores[baseline.name] = baseline.fit(answers, item_kcs).predict(asked)["probability"].to_numpy()
    assert auc(right, scores["logistic regression"]) > auc(right, scores["item difficulty"]) + 0.05
    # The generator's own probabilities bound what any model reaches.
    assert log_loss(right, truth["truth"].to_numpy()) < log_loss(right, scores["logistic regression"])


def test_prediction_in_parts_equals_prediction_at_once(monkeypatch):
    answers, item_kcs = simulate(30)
    fitted = BestLR().fit(answers, item_kcs)
    whole = fitted.predict(answers)
    monkeypatch.setattr(logistic, "ROWS_AT_ONCE", 50)
    assert fitted.predict(answers)["probability"].to_list() == pytest.approx(whole["probability"].to_list())


def test_only_right_answers_in_training_still_fit():
    answers = rows([(1, 1, 1, 1), (2, 1, 1, 1)])
    fitted = BestLR().fit(answers, pairs((1, 1)))
    assert (fitted.predict(answers)["probability"] > 0.9).all()


def test_some_students_are_whole_and_within_the_limit():
    answers, _ = simulate(40)
    chosen = some_students(answers, 400, seed=3)
    assert 0 < len(chosen) <= 400
    whole = answers.join(chosen.select("student_key").unique(), on="student_key", how="semi")
    assert len(whole) == len(chosen)
    assert chosen.equals(some_students(answers, 400, seed=3))
