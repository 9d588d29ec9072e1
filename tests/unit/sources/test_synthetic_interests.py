from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from edpipe.errors import SettingsError
from edpipe.sources.clicks import ingest_clicks
from edpipe.sources.synthetic import write_interests
from edpipe.sources.synthetic.interests import expected_auc


def standard_error(auc: float, positives: int, negatives: int) -> float:
    """Hanley and McNeil (1982), an upper bound for scores of any shape."""
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    spread = auc * (1 - auc) + (positives - 1) * (q1 - auc**2) + (negatives - 1) * (q2 - auc**2)
    return float(np.sqrt(spread / (positives * negatives)))


@pytest.mark.parametrize("num_interests", [1, 4])
@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_the_oracle_has_the_auc_that_is_computed(tmp_path, num_interests, noise):
    made = write_interests(tmp_path, num_students=400, num_interests=num_interests, noise=noise, age=2)
    rows = made.impressions
    found = roc_auc_score(rows["clicked"], rows["probability"])
    assert abs(found - made.bayes_auc) < 4 * standard_error(made.bayes_auc, 8_000, 8_000)
    # With evenly many items a topic, near enough: hits of positives and of negatives in the interests.
    negatives = num_interests / 20
    positives = 1 - noise + noise * negatives
    closed = positives * (1 - negatives) + (positives * negatives + (1 - positives) * (1 - negatives)) / 2
    assert made.bayes_auc == pytest.approx(closed, abs=0.03)


def test_probabilities_are_calibrated(tmp_path):
    rows = write_interests(tmp_path, num_students=600, num_interests=3, noise=0.4, age=1).impressions
    quarter = (pl.col("probability").rank("ordinal").cast(pl.Int64) - 1) * 4 // pl.len()
    binned = rows.group_by(quarter.alias("quarter")).agg(
        pl.col("clicked").mean(), pl.col("probability").mean(), pl.len()
    )
    error = (binned["clicked"] * (1 - binned["clicked"]) / binned["len"]).sqrt()
    assert ((binned["clicked"] - binned["probability"]).abs() < 4 * error + 1e-9).all()


def test_more_interests_are_harder_to_tell_from_chance(tmp_path):
    aucs = [
        write_interests(tmp_path, num_students=50, num_interests=k, age=1).bayes_auc for k in (1, 3, 8, 20)
    ]
    assert aucs == sorted(aucs, reverse=True)
    assert aucs[-1] == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("age", [0, 7])
def test_what_tells_of_an_interest_is_as_old_as_asked(tmp_path, age):
    made = write_interests(tmp_path, num_students=20, age=age, num_rounds=6)
    tells = made.behaviors.with_columns(place=pl.int_range(pl.len()).over("student")).filter(
        pl.col("kind").is_in(["interest", "noise"])
    )
    steps = tells.select(pl.col("place").diff().over("student")).drop_nulls()
    assert (steps["place"] == age + 1).all()
    irrelevant = made.behaviors.filter(pl.col("kind") == "irrelevant")
    assert irrelevant.height == 20 * 6 * age
    assert irrelevant.join(made.items, on="item").filter(pl.col("topic") != 0).is_empty()


def test_interests_are_as_many_as_asked_and_new_items_follow_them(tmp_path):
    made = write_interests(tmp_path, num_students=200, num_interests=3, noise=0.25, age=1)
    assert (made.interests.group_by("student").len()["len"] == 3).all()
    of_interest = made.behaviors.filter(pl.col("kind") == "interest").join(made.items, on="item")
    followed = of_interest.join(made.interests, on=["student", "topic"], how="semi")
    assert followed.height == of_interest.height
    share = made.behaviors.filter(pl.col("kind") == "noise").height / (200 * 20)
    assert share == pytest.approx(0.25, abs=0.03)
    new = made.behaviors.filter(pl.col("kind").is_in(["interest", "noise", "first"]))
    assert new.select("student", "item").is_unique().all()


def test_the_log_is_read_whole_and_equal_arguments_give_equal_bytes(settings, tmp_path):
    made = write_interests(tmp_path / "a", num_students=8, age=3, shows_topics=False)
    again = write_interests(tmp_path / "b", num_students=8, age=3, shows_topics=False)
    assert made.path.read_bytes() == again.path.read_bytes()
    report = ingest_clicks([made.path], settings, layout="taobao", max_rejects=0)
    assert report.rows == made.behaviors.height
    assert report.relations[0].manifest.licence.startswith("none")


def test_expected_auc_counts_pairs_with_their_chances():
    chances = np.array([0.9, 0.2, 0.2, 0.6])
    positive, negative = np.meshgrid(chances, chances, indexing="ij")
    weight = positive * (1 - negative)
    wins = (positive > negative) + 0.5 * (positive == negative)
    assert expected_auc(chances) == pytest.approx((weight * wins).sum() / weight.sum())


@pytest.mark.parametrize(
    "wrong", [{"num_interests": 21}, {"age": -1}, {"noise": 1.5}, {"num_rounds": 41}, {"num_students": 0}]
)
def test_numbers_out_of_range_are_refused(tmp_path, wrong):
    with pytest.raises(SettingsError, match="out of range"):
        write_interests(tmp_path, **{"num_students": 2, **wrong})
