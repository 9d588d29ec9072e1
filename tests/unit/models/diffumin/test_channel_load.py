from __future__ import annotations

import pytest
import torch
from impression_batches import NUM_OUTCOMES, SIZES, random_items

from models.diffumin import DiffuMINConfig, build_diffumin
from models.diffumin.caches import BehaviorCache, cache_items
from models.diffumin.channel_load import channel_load


def loaded(*, num_behaviors=25, num_items=5, **changes):
    """Return a network, a student's behaviors, and items."""
    torch.manual_seed(3)
    model = build_diffumin(DiffuMINConfig(**{**SIZES, **changes})).eval()
    random = torch.Generator().manual_seed(5)
    behaviors = BehaviorCache(model, 1, 0)
    if num_behaviors:
        outcomes = torch.randint(0, NUM_OUTCOMES, (num_behaviors,), generator=random)
        behaviors.append(random_items(num_behaviors, random), outcomes)
    return model, behaviors, cache_items(model, random_items(num_items, random), 0)


def test_shares_are_those_of_a_plain_loop():
    model, behaviors, items = loaded()
    found = channel_load(model, behaviors, items)
    number = len(behaviors)
    most = -(-number // 5)  # a fifth, rounded up
    for item, channels in enumerate(items.channels):
        scores = channels.double() @ behaviors.vectors.double().T
        best = scores.argmax(dim=0)
        for channel in range(len(channels)):
            least = scores[channel].sort(descending=True).values[most - 1]
            goes = best == channel
            kept = goes & (scores[channel] >= least * (1 - 1e-9 * least.sign()))
            assert found.routed[item, channel] == pytest.approx(goes.sum().item() / number)
            assert found.kept[item, channel] == pytest.approx(kept.sum().item() / number)
    torch.testing.assert_close(found.routed.sum(dim=1), torch.ones(len(items)))


def test_an_interest_is_like_itself_and_nothing_is_like_an_empty_one():
    model, behaviors, items = loaded(num_behaviors=2)
    found = channel_load(model, behaviors, items)
    is_full = found.kept > 0
    assert not is_full.all()  # two behaviors cannot fill three channels
    both = is_full.unsqueeze(1) & is_full.unsqueeze(2)
    assert torch.equal(both, ~found.cosines.isnan())
    diagonal = found.cosines.diagonal(dim1=1, dim2=2)
    torch.testing.assert_close(diagonal[is_full], torch.ones(int(is_full.sum())))
    assert found.cosines.nan_to_num().abs().max() <= 1 + 1e-6


def test_without_channels_or_behaviors_there_is_nothing_to_measure():
    with pytest.raises(ValueError, match="only DiffuMIN has channels"):
        channel_load(*loaded(long_term="mean"))
    with pytest.raises(ValueError, match="without behaviors"):
        channel_load(*loaded(num_behaviors=0))
