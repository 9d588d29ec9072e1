import math

import pytest
import torch
from impression_batches import SIZES

from models.diffumin import DiffuMINConfig
from models.diffumin.cmic import CMIC


def views(rows=64, seed=0):
    random = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(rows, 3, 16, generator=random) for _ in range(2))


def contrast(**changes):
    torch.manual_seed(0)
    return CMIC(DiffuMINConfig(**(SIZES | changes)))


def oracle(cmic, values, generated, num_kept, students):
    """Sum the loss pair by pair."""
    anchors = torch.nn.functional.normalize(cmic.anchor(values), dim=-1)
    candidates = torch.nn.functional.normalize(cmic.candidate(generated), dim=-1)
    losses = []
    for row in range(len(values)):
        for channel in range(values.shape[1]):
            if not num_kept[row, channel]:
                continue
            alike = {
                other: (anchors[row, channel] @ candidates[other, channel]).item() / cmic.config.temperature
                for other in range(len(values))
                if other == row or (students[other] != students[row] and num_kept[other, channel])
            }
            losses.append(math.log(sum(math.exp(value) for value in alike.values())) - alike[row])
    return sum(losses) / len(losses)


@pytest.mark.parametrize("head", ["linear", "mlp"])
def test_loss_is_that_of_the_equation_with_a_students_own_rows_left_out(head):
    cmic = contrast(contrastive_head=head, temperature=0.5)
    values, generated = views(8)
    students = torch.tensor([0, 0, 1, 2, 3, 3, 3, 4])
    num_kept = torch.ones(8, 3)
    num_kept[2, 1] = num_kept[5, 0] = 0
    found = cmic(values, generated, num_kept, students)
    assert found.item() == pytest.approx(oracle(cmic, values, generated, num_kept, students), rel=1e-4)


def test_other_rows_of_the_student_do_not_change_a_loss():
    cmic = contrast()
    values, generated = views(4)
    students = torch.tensor([0, 0, 1, 2])
    ones = torch.ones(4, 3)
    before = cmic(values, generated, ones, students)
    assert not torch.equal(cmic(values, generated, ones, torch.arange(4)), before)
    unmasked = contrast(is_same_student_masked=False)
    torch.testing.assert_close(
        unmasked(values, generated, ones, students), unmasked(values, generated, ones, torch.arange(4))
    )


def test_loss_of_unrelated_views_is_the_logarithm_of_the_number_of_rows():
    # At a temperature at which unrelated cosines are near 0; at 0.05 their spread alone adds to it.
    cmic = contrast(temperature=1.0)
    values, generated = views(256)
    found = cmic(values, generated, torch.ones(256, 3), torch.arange(256)).item()
    assert found == pytest.approx(math.log(256), rel=0.05)


def test_gradient_reaches_both_heads_and_both_views():
    cmic = contrast()
    values, generated = (view.requires_grad_() for view in views(8))
    cmic(values, generated, torch.ones(8, 3), torch.arange(8)).backward()
    for weight in (*cmic.parameters(), values, generated):
        assert weight.grad.abs().max() > 0


def test_no_rows_no_interests_and_one_student_give_no_loss():
    cmic = contrast()
    values, generated = views(4)
    assert cmic(values, generated, torch.zeros(4, 3), torch.arange(4)) == 0
    torch.testing.assert_close(
        cmic(values, generated, torch.ones(4, 3), torch.zeros(4, dtype=torch.int64)), torch.tensor(0.0)
    )


def test_few_negatives_are_drawn_in_training_only():
    cmic = contrast(max_negatives=8, temperature=1.0)
    values, generated = views(256)
    ones, students = torch.ones(256, 3), torch.arange(256)
    drawn = cmic.train()(values, generated, ones, students).item()
    assert drawn == pytest.approx(math.log(9), rel=0.05)
    assert cmic.eval()(values, generated, ones, students).item() == pytest.approx(math.log(256), rel=0.05)
