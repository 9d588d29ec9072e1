from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from recommender_data import with_recommender
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import OneHotEncoder

from edpipe.errors import ContractError
from edpipe.evaluation.recommendation.evaluate import Compared, evaluate_recommender
from edpipe.evaluation.recommendation.floors import ItemRate, StudentItemLogistic
from edpipe.evaluation.recommendation.stored import PAIRED_FILE, PLANTED, history_name
from edpipe.evaluation.recommendation.verdicts import verdicts
from edpipe.evaluation.results import EVALUATION_FOLDER, openings

NUM_ITEMS, NUM_STUDENTS = 12, 40


def rows(seed: int, number: int = 1_200) -> pl.DataFrame:
    """Rows whose chance is known: it follows from item and student, and from nothing else."""
    random = np.random.default_rng(seed)
    world = np.random.default_rng(0)
    of_item, of_student = world.normal(0, 1, NUM_ITEMS), world.normal(0, 1, NUM_STUDENTS)
    student = np.sort(random.integers(0, NUM_STUDENTS, number))
    item, history = random.integers(0, NUM_ITEMS, number), random.integers(0, 2_000, number)
    chance = 1 / (1 + np.exp(-of_item[item] - of_student[student]))
    return pl.DataFrame(
        {
            "student": student,
            "request": np.arange(number),
            "item": item,
            "history": history,
            "clicked": random.random(number) < chance,
            "chance": chance,
        }
    )


def compared(**changes) -> Compared:
    """A model that knows the chances, and a network that knows nothing."""

    def model(part):
        return rows(1 if part == "valid" else 2).with_columns(probability="chance")

    def nothing(part):
        return rows(1 if part == "valid" else 2).with_columns(probability=pl.lit(0.5))

    about = Compared(
        model="ours",
        networks={"ours": model, "nothing": nothing},
        training_rows=lambda: rows(3, 4_000),
        popularity=np.arange(NUM_ITEMS),
        num_students=NUM_STUDENTS,
    )
    return replace(about, **changes)


def test_all_models_stand_in_one_table_for_each_part_and_length(settings, tmp_path):
    found = evaluate_recommender(with_recommender(settings), tmp_path, compared, data_fingerprint="f")
    names = {"ours", "nothing", "item CTR", "logistic regression"}
    subsets = {"all", "history:0", "history:1-20", "history:21-100", "history:101-1,000", "history:1,001+"}
    whole = found.metrics.filter(subset="all", metric="auc")
    assert set(whole.select("model", "split").rows()) == {
        (n, part) for n in names for part in ("valid", "test")
    }
    assert set(found.metrics["subset"]) <= subsets
    lengths = rows(2)["history"]
    for low, high in ((1, 20), (21, 100), (101, 1_000), (1_001, None)):
        counted = found.metrics.filter(
            split="test", model="ours", metric="auc", subset=history_name(low, high)
        )["num_interactions"][0]
        assert counted == int(lengths.is_between(low, 10**9 if high is None else high).sum())
    assert found.value("nothing", "auc") == 0.5
    assert found.value("ours", "auc") > found.value("logistic regression", "auc") > 0.6
    assert found.value("logistic regression", "auc") > found.value("item CTR", "auc")


def test_differences_are_kept_for_each_length_by_draws_of_the_same_students(settings, tmp_path):
    same = compared().networks["ours"]
    about = compared(networks={**compared().networks, "twin": same})
    found = evaluate_recommender(with_recommender(settings), tmp_path, lambda: about, data_fingerprint="f")
    paired = pl.read_parquet(tmp_path / EVALUATION_FOLDER / PAIRED_FILE).filter(split="test", metric="auc")
    subsets = set(found.metrics.filter(split="test")["subset"])
    assert set(paired["subset"]) == subsets
    assert len(subsets) > 3
    for subset, reference, difference, low, high in paired.select(
        "subset", "reference", "difference", "low", "high"
    ).rows():
        ours, theirs = (found.value(name, "auc", subset=subset) for name in ("ours", reference))
        assert difference == pytest.approx(ours - theirs)
        if reference == "twin":  # other draws would differ
            assert (difference, low, high) == (0, 0, 0)


def test_the_test_is_opened_once_and_the_ledger_knows(settings, tmp_path):
    asked = []

    def about():
        asked.append(1)
        return compared()

    first = evaluate_recommender(with_recommender(settings), tmp_path, about, data_fingerprint="f")
    second = evaluate_recommender(with_recommender(settings), tmp_path, about, data_fingerprint="f")
    assert len(asked) == len(openings(tmp_path)) == 1
    assert second.metrics.equals(first.metrics)
    evaluate_recommender(with_recommender(settings), tmp_path, about, data_fingerprint="other")
    assert len(openings(tmp_path)) == 2


def test_models_on_different_rows_are_refused(settings, tmp_path):
    about = compared(networks={**compared().networks, "odd": lambda _: rows(7).with_columns(probability=0.5)})
    with pytest.raises(ContractError, match="same rows"):
        evaluate_recommender(with_recommender(settings), tmp_path, lambda: about, data_fingerprint="f")
    assert not (tmp_path / EVALUATION_FOLDER / "summary.json").exists()


def said(settings, folder, about):
    found = evaluate_recommender(
        with_recommender(settings, bootstrap=100), folder, lambda: about, data_fingerprint="f"
    )
    paired = pl.read_parquet(folder / EVALUATION_FOLDER / PAIRED_FILE)
    return found, list(verdicts(found.metrics, paired, about.model))


def test_it_is_said_where_the_model_is_ahead_and_where_a_floor_is_enough(settings, tmp_path):
    _, words = said(settings, tmp_path / "good", compared(training_rows=lambda: rows(3, 60)))
    assert words[0].startswith("On the test 'ours' is ahead of")
    assert words[-1].startswith("'ours' predicts ")
    same = compared().networks["ours"]
    _, words = said(settings, tmp_path / "same", compared(networks={"ours": same, "twin": same}))
    assert "cannot be told apart" in words[0]
    assert words[0].endswith("'twin' is enough here.")
    swapped = compared(model="nothing", networks=dict(reversed(compared().networks.items())))
    _, words = said(settings, tmp_path / "bad", swapped)
    assert "'ours' is what to use here" in words[0]


def test_chances_that_are_far_off_are_not_to_be_read(settings, tmp_path):
    def low(part):
        return compared().networks["ours"](part).with_columns(pl.col("probability") / 4)

    _, words = said(settings, tmp_path, compared(networks={"ours": low}))
    assert words[-1].endswith("its order can be used, not its chances.")


def test_the_planted_truth_stands_in_the_table_and_unmasks_a_leak(settings, tmp_path):
    found, words = said(settings, tmp_path / "honest", compared(planted=lambda frame: frame["chance"]))
    assert found.value(PLANTED, "auc") == found.value("ours", "auc")
    assert found.warnings == ()
    assert words[-1].startswith("These data were planted")

    def leak(part):
        return compared().networks["ours"](part).with_columns(probability=pl.col("clicked").cast(pl.Float64))

    about = compared(networks={"ours": leak}, planted=lambda frame: frame["chance"])
    found, _ = said(settings, tmp_path / "leak", about)
    assert "leak" in found.warnings[0]


def test_the_item_rate_is_the_share_of_clicks_drawn_to_the_mean():
    frame = pl.DataFrame({"item": [0, 0, 0, 1], "clicked": [True, True, False, False]})
    rate = ItemRate(frame, 3).predict(pl.DataFrame({"item": [0, 1, 2]}))
    np.testing.assert_allclose(rate, [(2 + 5) / 13, 5 / 11, 0.5])


def test_the_logistic_floor_is_that_of_another_package():
    train, asked = rows(3, 3_000), rows(4, 200)
    popularity = np.arange(NUM_ITEMS) ** 2
    found = StudentItemLogistic(train, popularity, NUM_STUDENTS).predict(asked)

    def columns(frame):
        hot = OneHotEncoder(categories=[range(NUM_STUDENTS), range(NUM_ITEMS)], sparse_output=False)
        numbers = np.stack(
            [np.log1p(popularity[frame["item"].to_numpy()]), np.log1p(frame["history"].to_numpy())], axis=1
        )
        return np.hstack([hot.fit_transform(frame.select("student", "item").to_numpy()), numbers])

    theirs = LogisticRegression(C=1.0, max_iter=2_000, tol=1e-8).fit(
        columns(train), train["clicked"].to_numpy()
    )
    np.testing.assert_allclose(found, theirs.predict_proba(columns(asked))[:, 1], atol=0.01)
