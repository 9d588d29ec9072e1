"""Students with planted strengths: what a click depends on is known, and so is the best AUC there is."""

from dataclasses import dataclass

import pytest
import torch
from sklearn.metrics import roc_auc_score

from models.batches import ImpressionBatch
from models.diffumin import DiffuMINConfig, build_diffumin

NUM_VALUES, LENGTH, ROWS = 6, 60, 8
FIRST = 2  # values 0 and 1 are padding and unknown


@dataclass(frozen=True)
class World:
    """Requests of students, one each, with the chance of a click of every row."""

    behaviors: torch.Tensor
    outcomes: torch.Tensor
    targets: torch.Tensor
    clicked: torch.Tensor
    chance: torch.Tensor

    def batch(self, index):
        number = len(index)
        return ImpressionBatch(
            target_items=self.targets[index].flatten(0, 1),
            clicked=self.clicked[index].flatten(),
            context=torch.zeros(number * ROWS, 0),
            requests=torch.arange(number).repeat_interleave(ROWS),
            students=torch.arange(number),
            behavior_items=self.behaviors[index].flatten(0, 1),
            behavior_outcomes=self.outcomes[index].flatten(),
            behavior_offsets=torch.arange(number + 1) * LENGTH,
        )


def planted(num_students, num_interests, seed):
    """Students strong or weak in each value of two fields; a behavior is about one value of one field.

    With one interest a click is likely where the student is strong in the first field of the target; with
    two, where strong in the first and weak in the second, so that their sum says nothing.
    """
    random = torch.Generator().manual_seed(seed)
    strength = torch.randint(0, 2, (num_students, 2, NUM_VALUES), generator=random) * 2 - 1
    field = torch.randint(0, 2, (num_students, LENGTH), generator=random)
    value = torch.randint(0, NUM_VALUES, (num_students, LENGTH), generator=random)
    student = torch.arange(num_students).unsqueeze(1)
    is_typical = torch.rand(num_students, LENGTH, generator=random) < 0.9
    right = torch.where(is_typical, strength[student, field, value], -strength[student, field, value]) > 0
    behaviors = torch.ones(num_students, LENGTH, 2, dtype=torch.int64)
    behaviors.scatter_(2, field.unsqueeze(-1), (value + FIRST).unsqueeze(-1))
    asked = torch.randint(0, NUM_VALUES, (num_students, ROWS, 2), generator=random)
    logit = 2.0 * strength[student, 0, asked[..., 0]]
    if num_interests == 2:
        logit = logit - 2.0 * strength[student, 1, asked[..., 1]]
    chance = logit.sigmoid()
    clicked = (torch.rand(chance.shape, generator=random) < chance).float()
    return World(behaviors, right.long() + 1, asked + FIRST, clicked, chance)


def auc_of(num_interests, num_channels, *, num_students=3000, num_epochs=24):
    """Return the AUC on other students, and that of the true chances."""
    train, test = planted(num_students, num_interests, 1), planted(1000, num_interests, 2)
    torch.manual_seed(1)
    config = DiffuMINConfig(
        (NUM_VALUES + FIRST,) * 2,
        num_outcomes=3,
        embedding_std=0.3,
        num_channels=num_channels,
        augmentation="none",
        short_term_window=0,
        mlp_sizes=(64, 32),
    )
    model = build_diffumin(config)
    optimizer = torch.optim.Adam(model.parameters(), lr=6e-3)
    steps = num_epochs * -(-num_students // 32)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(num_epochs):
        for index in torch.randperm(num_students).split(32):
            optimizer.zero_grad()
            model.loss(train.batch(index)).backward()
            optimizer.step()
            schedule.step()
    model.eval()
    with torch.no_grad():
        scores = torch.cat([model(test.batch(index)) for index in torch.arange(1000).split(100)])
    clicked = test.clicked.flatten()
    return roc_auc_score(clicked, scores), roc_auc_score(clicked, test.chance.flatten())


@pytest.mark.slow
def test_several_channels_find_two_interests_that_one_channel_mixes_up():
    several, best = auc_of(2, 4)
    one, _ = auc_of(2, 1)
    assert several > one + 0.05
    assert several > best - 0.015


@pytest.mark.slow
def test_one_channel_is_as_good_as_several_for_one_interest():
    several, best = auc_of(1, 4)
    one, _ = auc_of(1, 1)
    assert abs(several - one) < 0.01
    assert min(one, several) > best - 0.01
