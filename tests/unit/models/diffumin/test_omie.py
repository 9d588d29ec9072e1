from dataclasses import replace

import pytest
import torch
from impression_batches import SIZES, impression_batch, pad_impressions, stirred, with_behaviors

from models.diffumin import DiffuMINConfig, build_diffumin
from models.diffumin.omie import OMIE
from models.diffumin.requests import Requests, buckets

LONG_TERM = ("diffumin", "none", "mean", "mean_match", "din", "sim_soft", "sim_hard", "eta", "sdim", "twin")
# Blocks for which the order of what is far back is of no matter; DIN and SIM's hard search read the latest.
UNORDERED = ("diffumin", "none", "mean", "sim_soft", "sdim", "twin")


def network(**changes):
    torch.manual_seed(1)
    return stirred(build_diffumin(DiffuMINConfig(**(SIZES | changes)))).eval()


def interests_of(omie, behaviors, targets, mask=None):
    nothing = torch.zeros(*behaviors.shape[:2], 1, dtype=torch.int64)
    mask = torch.ones(behaviors.shape[:2], dtype=torch.bool) if mask is None else mask
    return omie(Requests(targets, nothing[:, :1], behaviors, nothing, nothing[..., 0], mask))


@pytest.mark.parametrize("kind", LONG_TERM)
def test_padding_anywhere_changes_no_score(kind):
    model, batch = network(long_term=kind), impression_batch()
    with torch.no_grad():
        torch.testing.assert_close(model(pad_impressions(batch, 7)), model(batch), rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", UNORDERED)
def test_order_of_behaviors_outside_the_short_window_changes_no_score(kind):
    model, batch = network(long_term=kind), impression_batch()

    def shuffled(number, items, outcomes):
        order = torch.arange(len(items))
        far = max(0, len(items) - model.config.short_term_window)
        order[:far] = torch.randperm(far, generator=torch.Generator().manual_seed(number))
        return items[order], outcomes[order]

    with torch.no_grad():
        torch.testing.assert_close(model(with_behaviors(batch, shuffled)), model(batch), rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", LONG_TERM)
@pytest.mark.parametrize("lengths", [(0, 0, 0, 0, 0), (1, 1, 2, 1, 1), (2, 0, 0, 0, 0)])
def test_short_and_empty_histories_are_scored(kind, lengths):
    model, batch = network(long_term=kind), impression_batch(lengths)
    losses = model.train().losses(batch)
    assert all(torch.isfinite(part) for part in losses.values())
    model.total(losses).backward()
    grads = [weight.grad for weight in model.parameters() if weight.grad is not None]
    assert all(torch.isfinite(grad).all() for grad in grads)


@pytest.mark.parametrize("kind", LONG_TERM)
def test_a_score_depends_on_its_own_request_alone(kind):
    model, batch = network(long_term=kind), impression_batch()
    with torch.no_grad():
        every = model(batch)
        for request in range(5):
            index = (batch.requests == request).nonzero().squeeze(1)
            torch.testing.assert_close(model(batch.rows(index)), every[index], rtol=0, atol=1e-6)


def test_requests_are_padded_to_at_most_twice_their_length():
    batch = impression_batch(lengths=(0, 1, 40, 64, 65, 500, 900), rows=(1, 2, 3, 4, 5, 1, 1))
    found = buckets(batch)
    assert sum(int(bucket.is_row.sum()) for bucket in found) == len(batch)
    assert sum(int(bucket.mask.sum()) for bucket in found) == len(batch.behavior_items)
    for bucket in found:
        lengths = bucket.mask.sum(1)
        assert bucket.mask.shape[1] <= max(32, 2 * int(lengths.min()))
        assert bucket.mask[:, -1].equal(lengths > 0)  # the latest stands at the end


@pytest.mark.parametrize(("kind", "learns"), [("mean", False), ("sim", True), ("softmax", True)])
def test_plain_means_pass_no_gradient_to_the_channels(kind, learns):
    omie = OMIE(DiffuMINConfig(**SIZES | {"pooling": kind}))
    random = torch.Generator().manual_seed(0)
    behaviors, targets = (torch.randn(1, n, 16, generator=random) for n in (50, 2))
    values = interests_of(omie, behaviors, targets).values
    assert values.requires_grad == learns
    if learns:
        values.square().sum().backward()
        assert omie.channels.project.weight.grad.abs().max() > 1e-4


@pytest.mark.parametrize("source", ["target", "random", "table"])
def test_channels_depend_on_what_they_are_made_from(source):
    config = DiffuMINConfig(**SIZES | {"channels_from": source})
    omie = OMIE(config)
    targets = torch.randn(2, 3, 16)
    channels = omie.channels(targets)
    gram = channels @ channels.transpose(-2, -1)
    torch.testing.assert_close(gram, torch.eye(3).expand_as(gram), rtol=0, atol=1e-5)
    differ = (channels - channels[:1, :1]).abs().max() > 1e-3
    assert differ == (source == "target")
    assert (len(list(omie.parameters())) == 0) == (source == "random")


@pytest.mark.parametrize("kind", ["qr", "cgs2", "polar"])
def test_interests_under_autocast_are_those_of_float32(kind):
    omie = OMIE(DiffuMINConfig(**SIZES | {"orthonormalization": kind}))
    random = torch.Generator().manual_seed(0)
    behaviors, targets = (torch.randn(1, n, 16, generator=random) for n in (50, 2))
    plain = interests_of(omie, behaviors, targets)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = interests_of(omie, behaviors, targets)
    assert torch.equal(mixed.channels, plain.channels)
    assert torch.equal(mixed.values, plain.values)


def test_an_empty_channel_can_have_a_learned_vector():
    omie = OMIE(DiffuMINConfig(**SIZES | {"is_empty_learned": True}))
    with torch.no_grad():
        omie.empty.copy_(torch.arange(48.0).view(3, 16))
    mask = torch.tensor([[False, False]])
    found = interests_of(omie, torch.zeros(1, 2, 16), torch.randn(1, 1, 16), mask)
    assert torch.equal(found.values[0, 0], omie.empty)
    assert (found.num_kept == 0).all()


def test_fewer_behaviors_than_channels_work():
    omie = OMIE(DiffuMINConfig(**SIZES))
    found = interests_of(omie, torch.randn(1, 2, 16), torch.randn(1, 4, 16))
    assert found.num_kept.sum(-1).max() <= 2
    assert torch.isfinite(found.values).all()


def test_numbers_outside_a_vocabulary_are_refused():
    model, batch = network(), impression_batch()
    items = batch.target_items.clone()
    items[0, 1] = 8
    with pytest.raises(ValueError, match="field 1 of the items must lie in 0 to 7; got 8"):
        model(replace(batch, target_items=items))
    outcomes = batch.behavior_outcomes.clone()
    outcomes[0] = -1
    with pytest.raises(ValueError, match="outcomes of behaviors must lie in 0 to 2; got -1"):
        model(replace(batch, behavior_outcomes=outcomes))
    with pytest.raises(ValueError, match="context must have 2 numbers a row; got 1"):
        model(replace(batch, context=batch.context[:, :1]))
    with pytest.raises(ValueError, match="at least one row"):
        model(batch.rows(torch.arange(0)))


def test_values_of_two_fields_share_no_vector():
    model = network()
    items = torch.tensor([[1, 1, 1], [2, 1, 1], [1, 2, 1]])
    vectors = model.embedding(items)
    assert vectors.shape == (3, 16)
    assert (vectors[:, 12:] == 0).all()  # no outcome
    assert torch.equal(vectors[0, 4:], vectors[1, 4:])
    assert not torch.equal(vectors[0, :4], vectors[1, :4])
    assert torch.equal(vectors[0, :4], vectors[2, :4])


def test_a_forward_pass_needs_less_than_twice_the_memory_of_the_behaviors():
    size, length, number = 40, 2000, 16
    config = DiffuMINConfig(
        (50,) * 5, field_size=8, mlp_sizes=(16,), augmentation="distilled", short_term_window=20
    )
    model = build_diffumin(config).eval()
    random = torch.Generator().manual_seed(0)
    batch = impression_batch((length,) * number, (1,) * number)
    batch = replace(
        batch,
        target_items=torch.randint(1, 50, (number, 5), generator=random),
        behavior_items=torch.randint(1, 50, (length * number, 5), generator=random),
        context=batch.context[:, :0],
    )
    with torch.no_grad():
        peak = peak_bytes(lambda: model(batch))
    assert peak < 2 * number * length * size * 4


def peak_bytes(function):
    """Return the most memory that tensors made by a call held at once."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
        function()
    events = found.profiler.kineto_results.events()
    changes = sorted((event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]")
    held = torch.tensor([size for _, size in changes]).cumsum(0)
    return int(held.max())
