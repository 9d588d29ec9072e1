import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from models.tracing.auc import area_under_curve, count_scores


@pytest.mark.parametrize("seed", range(3))
def test_area_equals_scikit_learn_on_values_that_fall_on_bins(seed):
    random = np.random.default_rng(seed)
    scores = random.integers(0, 64, 500) / 64
    correct = random.random(500) < scores
    counts = count_scores(torch.tensor(scores), torch.tensor(correct))
    assert float(area_under_curve(counts)) == pytest.approx(roc_auc_score(correct, scores), abs=1e-12)


def test_counts_of_parts_add_up():
    scores, correct = torch.rand(100), torch.randint(0, 2, (100,))
    parts = count_scores(scores[:30], correct[:30]) + count_scores(scores[30:], correct[30:])
    assert torch.equal(parts, count_scores(scores, correct))


def test_one_class_alone_has_no_order():
    assert float(area_under_curve(count_scores(torch.rand(5), torch.ones(5)))) == 0.5


def test_certain_probabilities_have_a_bin():
    assert float(area_under_curve(count_scores(torch.tensor([0.0, 1.0]), torch.tensor([0, 1])))) == 1.0
