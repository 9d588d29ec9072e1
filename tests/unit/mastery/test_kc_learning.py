"""What practice is expected to teach: the mean over both outcomes in closed form, and planted rates."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from edpipe.mastery.kc_learning import ItemKCs, KCLearning

KCS = ("a", "b", "c")
PARAMETERS = np.array([[0.2, 0.1, 0.3, 0.1], [0.5, 0.3, 0.2, 0.2], [0.4, 0.05, 0.25, 0.05]])


def one(answers: str, kc: str = "a") -> pl.DataFrame:
    """Return one student's answers to a KC: 1 for right."""
    return pl.DataFrame(
        {"kc_id": [kc] * len(answers), "is_correct": [answer == "1" for answer in answers]},
        schema={"kc_id": pl.String, "is_correct": pl.Boolean},
    )


@pytest.mark.parametrize("answers", ["", "1", "0", "0110"])
def test_the_gain_is_what_an_answer_raises_on_average_over_both_ways_it_can_end(answers: str) -> None:
    model = KCLearning(KCS, PARAMETERS)
    known = model.known(one(answers))
    _, _, guess, slip = PARAMETERS[0]
    chance = known[0] * (1 - slip) + (1 - known[0]) * guess
    right, wrong = (model.known(one(answers + outcome))[0] for outcome in "10")
    expected = chance * right + (1 - chance) * wrong - known[0]
    gains = model.gains(known, ItemKCs.of([["a"]], KCS))
    assert gains == pytest.approx([expected], abs=1e-12)


def test_gains_add_up_over_kcs_and_an_item_without_kcs_teaches_nothing() -> None:
    model = KCLearning(KCS, PARAMETERS)
    known = np.array([0.2, 0.9, 0.6])
    items = ItemKCs.of([["a"], ["b", "c"], [], ["unheard of"], ["a", "b", "c"]], KCS)
    a, b, c = 0.8 * 0.1, 0.1 * 0.3, 0.4 * 0.05
    assert model.gains(known, items) == pytest.approx([a, b + c, 0, 0, a + b + c])


def test_an_item_is_mastered_where_all_of_its_kcs_are_and_it_has_one() -> None:
    model = KCLearning(KCS, PARAMETERS)
    items = ItemKCs.of([["a"], ["b"], ["a", "b"], ["b", "c"], []], KCS)
    found = model.is_mastered(np.array([0.5, 0.95, 0.99]), items, 0.95)
    assert found.tolist() == [False, True, False, True, False]


def test_what_was_never_met_stands_at_its_prior_and_other_kcs_move_nothing() -> None:
    model = KCLearning(KCS, PARAMETERS)
    found = model.known(pl.concat([one("11", "b"), one("0", "unheard of")]))
    assert found[[0, 2]].tolist() == PARAMETERS[[0, 2], 0].tolist()
    assert found[1] > PARAMETERS[1, 0]


def test_planted_rates_of_learning_are_found_again() -> None:
    random = np.random.default_rng(5)
    planted = {"a": 0.05, "b": 0.35}
    rows = []
    for student in range(600):
        for kc, learn in planted.items():
            knows = random.random() < 0.2
            for _ in range(10):
                is_correct = random.random() < (0.9 if knows else 0.2)
                rows.append((kc, student, bool(is_correct)))
                knows |= random.random() < learn
    answers = pl.DataFrame(rows, schema=["kc_id", "student_key", "is_correct"], orient="row")
    model = KCLearning.fit(answers.sort("student_key", maintain_order=True), (*KCS,))
    assert model.learn[:2] == pytest.approx([0.05, 0.35], abs=0.03)
    pooled = model.learn[2]  # nobody answered it
    assert 0.05 < pooled < 0.35
