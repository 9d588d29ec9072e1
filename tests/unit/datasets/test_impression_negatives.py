from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chisquare

from edpipe.datasets.impressions_negatives import NO_ITEM, draw_negatives

POPULARITY = np.array([10, 0, 5, 5, 80, 40])
SEEN, OFFSETS = np.array([4, 0, 2, 3, 4, 5], dtype=np.int32), np.array([0, 1, 6])


def draw(student, number, *, num=1, seed=3, epoch=0, popularity=POPULARITY):
    students = np.full(number, student, dtype=np.int64)
    targets = np.arange(number)
    return draw_negatives(
        np.cumsum(popularity), SEEN, OFFSETS, students, targets, num=num, seed=seed, epoch=epoch
    )


def test_items_are_drawn_by_popularity_among_those_not_met():
    found = np.bincount(draw(0, 60_000)[:, 0], minlength=6)
    assert found[1] == found[4] == 0
    allowed = POPULARITY * (np.arange(6) != 4)
    chosen = allowed > 0
    assert chisquare(found[chosen], 60_000 * allowed[chosen] / allowed.sum()).pvalue > 1e-4


def test_a_popular_item_that_was_met_does_not_make_the_draw_fail_or_lean():
    popularity = np.array([1, 0, 1, 2, 10**12, 0])  # so that rejection hardly ever ends
    found = np.bincount(draw(0, 4_000, popularity=popularity)[:, 0], minlength=6)
    assert chisquare(found[[0, 2, 3]], [1_000, 1_000, 2_000]).pvalue > 1e-4


def test_draws_of_a_target_differ_and_end_where_nothing_is_left():
    found = draw(0, 500, num=6)
    assert (found[:, 4:] == NO_ITEM).all()
    assert (np.sort(found[:, :4], axis=1) == [0, 2, 3, 5]).all()
    assert (draw(1, 5, num=2) == NO_ITEM).all()


def test_nothing_is_drawn_where_training_has_no_rows():
    assert (draw(0, 3, popularity=np.zeros(6, dtype=np.int64)) == NO_ITEM).all()


@pytest.mark.parametrize("changed", [{"seed": 4}, {"epoch": 1}])
def test_another_seed_or_epoch_draws_others_and_the_same_the_same(changed):
    assert (draw(0, 100) == draw(0, 100)).all()
    assert (draw(0, 100) != draw(0, 100, **changed)).any()
