import math

import pytest
import torch

from models.diffumin.fast_interests import quick_interests
from models.diffumin.pooling import pool, pooling_weights
from models.diffumin.selection import kept, num_kept, routed

from impression_batches import SIZES  # isort: skip
from models.diffumin import DiffuMINConfig  # isort: skip


def scores_of(requests=2, asked=3, channels=4, length=57, seed=0):
    random = torch.Generator().manual_seed(seed)
    scores = torch.randn(requests, asked, channels, length, generator=random)
    mask = torch.ones(requests, length, dtype=torch.bool)
    mask[1:, :20] = False
    return scores, mask


def oracle(scores, mask, share, percentile):
    """Keep behaviors one by one, as the equations say."""
    chosen = torch.zeros_like(scores, dtype=torch.bool)
    for request, item in ((r, i) for r in range(scores.shape[0]) for i in range(scores.shape[1])):
        real = mask[request].nonzero().squeeze(1).tolist()
        table = scores[request, item].tolist()
        goes = {place: max(range(len(table)), key=lambda c: (table[c][place], -c)) for place in real}
        for channel, row in enumerate(table):
            compared = [p for p in real if percentile == "column" or goes[p] == channel]
            ranked = sorted(compared, key=lambda p: -row[p])
            for place in ranked[: max(1, math.ceil(share * len(compared) - 1e-9))]:
                if goes[place] == channel:
                    chosen[request, item, channel, place] = True
    return chosen


@pytest.mark.parametrize("percentile", ["column", "routed"])
@pytest.mark.parametrize("share", [0.05, 0.2, 0.5, 1.0])
def test_kept_are_those_that_the_equations_keep(percentile, share):
    scores, mask = scores_of()
    found = kept(scores, mask, share=share, percentile=percentile)
    assert torch.equal(found, oracle(scores, mask, share, percentile))


@pytest.mark.parametrize("percentile", ["column", "routed"])
def test_each_behavior_is_in_one_channel_at_most_and_few_are_kept(percentile):
    scores, mask = scores_of(length=203)
    found = kept(scores, mask, share=0.2, percentile=percentile)
    assert found.sum(dim=2).max() == 1
    most = torch.tensor([math.ceil(0.2 * int(number)) for number in mask.sum(1)])
    assert (found.sum(-1) <= most[:, None, None]).all()


def test_all_are_kept_at_a_hundred_percent():
    scores, mask = scores_of()
    found = kept(scores, mask, share=1.0)
    assert torch.equal(found.any(dim=2), mask.unsqueeze(1).expand(-1, 3, -1))


def test_a_column_keeps_the_share_of_routed_behaviors_that_independent_scores_have():
    scores, mask = scores_of(1, 50, 4, 5000)
    column = kept(scores, mask[:1].new_ones(1, 5000), share=0.2).sum().item() / 200
    inside = kept(scores, mask[:1].new_ones(1, 5000), share=0.2, percentile="routed").sum().item() / 200
    assert column == pytest.approx(738, rel=0.01)
    assert inside == pytest.approx(250, rel=0.01)


def test_equal_behaviors_stand_or_fall_together():
    scores = torch.tensor([5.0, 3.0, 3.0 * (1 - 1e-7), 3.0, 1.0]).view(1, 1, 1, 5)
    found = kept(scores, torch.ones(1, 5, dtype=torch.bool), share=0.4)
    assert found.flatten().tolist() == [True, True, True, True, False]


def test_the_first_of_equal_channels_takes_a_behavior():
    scores = torch.tensor([[1.0, 2.0], [1.0, 0.0], [1.0, 2.0]])
    assert routed(scores).tolist() == [[True, True], [False, False], [False, False]]


@pytest.mark.parametrize(
    ("number", "share", "count", "expected"),
    [
        (100, 0.07, 0, 7),
        (1250, 0.2, 0, 250),
        (1, 0.2, 0, 1),
        (0, 0.2, 0, 1),
        (9, 1 / 3, 0, 3),
        (50, 0.2, 100, 50),
    ],
)
def test_a_share_is_rounded_up_in_whole_numbers(number, share, count, expected):
    assert num_kept(number, share, count) == expected
    assert num_kept(torch.tensor([number]), share, count).tolist() == [expected]


def pooled_one_by_one(behaviors, scores, chosen, mask, targets, kind):
    """Materialize every behavior of every channel, as the published code does."""
    requests, asked, channels, _ = scores.shape
    found = torch.zeros(requests, asked, channels, behaviors.shape[-1])
    root = behaviors.shape[-1] ** 0.5
    for request, item, channel in (
        (r, i, c) for r in range(requests) for i in range(asked) for c in range(channels)
    ):
        here = chosen[request, item, channel]
        if not here.any():
            continue
        values, marks = behaviors[request, here], scores[request, item, channel, here]
        if kind == "mean":
            result = values.mean(0)
        elif kind == "sim":
            result = (marks.unsqueeze(1) * values).sum(0) / len(values)
        elif kind == "released":
            result = (marks.unsqueeze(1) * values).sum(0) / mask[request].sum()
        elif kind == "softmax":
            result = ((marks / root).softmax(0).unsqueeze(1) * values).sum(0)
        elif kind == "max":
            result = values.amax(0)
        elif kind == "target_attn":
            result = ((values @ targets[request, item] / root).softmax(0).unsqueeze(1) * values).sum(0)
        else:
            result = ((values @ values.T / root).softmax(1) @ values).mean(0)
        found[request, item, channel] = result
    return found


POOLINGS = ("mean", "sim", "released", "softmax", "max", "target_attn", "self_attn")


@pytest.mark.parametrize("kind", POOLINGS)
def test_pooling_by_products_is_pooling_one_by_one(kind):
    scores, mask = scores_of()
    random = torch.Generator().manual_seed(1)
    behaviors = torch.randn(2, 57, 6, generator=random) * mask.unsqueeze(-1)
    targets = torch.randn(2, 3, 6, generator=random)
    chosen = kept(scores, mask, share=0.2)
    chosen[0, 0, 1] = False  # an empty channel
    expected = pooled_one_by_one(behaviors, scores, chosen, mask, targets, kind)
    found = pool(behaviors, scores, chosen, mask, targets, kind)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    assert (found[0, 0, 1] == 0).all()


def test_a_maximum_has_no_weights():
    scores, mask = scores_of()
    with pytest.raises(ValueError, match="no weights"):
        pooling_weights(torch.ones(2, 57, 6), scores, scores > 0, mask, torch.ones(2, 3, 6), "max")


@pytest.mark.parametrize("kind", ["mean", "sim", "released"])
@pytest.mark.parametrize("length", [1, 2, 300])
def test_quick_interests_are_the_plain_ones(kind, length):
    config = DiffuMINConfig(**SIZES | {"pooling": kind})
    random = torch.Generator().manual_seed(length)
    channels = torch.linalg.qr(torch.randn(16, 16, 3, generator=random)).Q.transpose(1, 2)
    behaviors = torch.randn(length, 16, generator=random)
    if length > 2:
        behaviors[5] = behaviors[200] = behaviors[250]
        channels[3, 1] = channels[3, 0]  # every behavior scores alike in both
    scores = (channels @ behaviors.T).unsqueeze(0)
    mask = torch.ones(1, length, dtype=torch.bool)
    chosen = kept(scores, mask, share=config.kept_share)
    expected = pool(behaviors.unsqueeze(0), scores, chosen, mask, channels[None, :, 0], kind)[0]
    found = quick_interests(channels, behaviors, config)
    assert torch.equal(found.num_kept.long(), chosen[0].sum(-1))
    torch.testing.assert_close(found.values, expected, rtol=1e-5, atol=1e-6)


def test_a_sampled_threshold_keeps_most_of_the_same_behaviors():
    config = DiffuMINConfig(**SIZES | {"pooling": "mean"})
    random = torch.Generator().manual_seed(0)
    channels = torch.linalg.qr(torch.randn(16, 16, 3, generator=random)).Q.transpose(1, 2)
    behaviors = torch.randn(2000, 16, generator=random)
    exact = quick_interests(channels, behaviors, config)
    sampled = quick_interests(channels, behaviors, config, "sampled")
    # Thresholds only: of both kept sets one holds the other, so the counts tell recall and Jaccard index.
    ratio = torch.minimum(exact.num_kept, sampled.num_kept) / torch.maximum(exact.num_kept, sampled.num_kept)
    assert ratio.mean() > 0.9
    with pytest.raises(ValueError, match="not a count"):
        quick_interests(channels, behaviors, DiffuMINConfig(**SIZES | {"kept_count": 5}), "sampled")
