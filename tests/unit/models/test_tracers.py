from dataclasses import replace

import pytest
import torch
from model_suite import changed_from, check_model, interaction_batch, pad

from models.tracing import DKT, AttentionConfig, AttentionTracer, DKTConfig, build_tracer, config_from_dict

SIZES = {"num_items": 20, "num_kcs": 7, "size": 16}
CONFIGS = [
    AttentionConfig(**SIZES, num_layers=2, num_heads=4, dropout=0.0, item_dropout=0.0),
    AttentionConfig(**SIZES, num_layers=1, num_heads=1, dropout=0.0, item_dropout=0.0),
    DKTConfig(**SIZES, num_layers=1, dropout=0.0, item_dropout=0.0),
    DKTConfig(**SIZES, num_layers=2, dropout=0.0, item_dropout=0.0),
]
configs = pytest.mark.parametrize("config", CONFIGS, ids=lambda c: f"{c.kind}-{c.num_layers}")


def tracer(config):
    torch.manual_seed(1)
    model = build_tracer(config).eval()
    with torch.no_grad():
        for weight in model.parameters():  # nothing may hide behind a zero at the start
            weight.add_(0.1 * torch.randn_like(weight))
        for layer in (model.items.kc, model.items.direction, model.items.difficulty):
            layer.weight[0] = 0.0  # padding stays nothing, as training leaves it
    return model


@configs
def test_tracer_keeps_the_promises_of_every_model(config):
    torch.manual_seed(3)
    check_model(
        build_tracer(config),
        interaction_batch(),
        rebuild=lambda values: build_tracer(config_from_dict(values)),
    )


@configs
@pytest.mark.parametrize("step", [0, 3, 7, 11])
def test_prediction_does_not_depend_on_answers_or_elapsed_from_that_step_onwards(config, step):
    batch, model = interaction_batch(), tracer(config)
    with torch.no_grad():
        before = model(batch)[:, : step + 1]
        after = model(changed_from(batch, step, "correct", "elapsed"))[:, : step + 1]
    torch.testing.assert_close(after, before, rtol=0, atol=0)


@configs
@pytest.mark.parametrize("step", [1, 5])
def test_prediction_does_not_depend_on_questions_after_that_step(config, step):
    batch, model = interaction_batch(), tracer(config)
    items, kcs, lag = batch.items.clone(), batch.kcs.clone(), batch.lag.clone()
    items[:, step + 1 :] = 5
    kcs[:, step + 1 :] = 2
    lag[:, step + 1 :] = 9.0
    with torch.no_grad():
        before = model(batch)[:, : step + 1]
        after = model(replace(batch, items=items, kcs=kcs, lag=lag))[:, : step + 1]
    torch.testing.assert_close(after, before, rtol=1e-5, atol=1e-6)


@configs
@pytest.mark.parametrize("name", ["correct", "elapsed"])
def test_later_predictions_do_depend_on_an_earlier_answer(config, name):
    batch, model = interaction_batch(), tracer(config)
    with torch.no_grad():
        change = (model(changed_from(batch, 3, name)) - model(batch)).abs()
    assert change[0, 4:].max() > 1e-4


@configs
def test_probe_equals_asking_the_item_as_the_next_step(config):
    batch, model = interaction_batch(), tracer(config)
    items, kcs = torch.tensor([3, 9, 1]), torch.tensor([[2, 0], [3, 5], [4, 0]])
    with torch.no_grad():
        probed = model.probe(batch, items, kcs)
        longer = pad(batch, 1)
        rows = torch.arange(len(batch))
        last = batch.mask.sum(1)
        for column, item in enumerate(items):
            asked_items, asked_kcs, mask = longer.items.clone(), longer.kcs.clone(), longer.mask.clone()
            asked_items[rows, last] = item
            asked_kcs[rows, last, :2] = kcs[column]
            mask[rows, last] = True
            logits = model(replace(longer, items=asked_items, kcs=asked_kcs, mask=mask))
            torch.testing.assert_close(probed[:, column], logits[rows, last].sigmoid())


@configs
def test_probe_of_a_student_without_answers_is_a_probability(config):
    batch = interaction_batch()
    empty = replace(batch, mask=torch.zeros_like(batch.mask))
    with torch.no_grad():
        probed = tracer(config).probe(empty, torch.tensor([3]), torch.tensor([[2]]))
    assert ((probed > 0) & (probed < 1)).all()
    assert probed.unique().numel() == 1


def test_item_dropout_hides_items_in_training_only():
    model = AttentionTracer(AttentionConfig(**SIZES, num_heads=4, dropout=0.0, item_dropout=0.9))
    items = interaction_batch().items
    torch.manual_seed(0)
    hidden = model.items.hide(items)
    assert (hidden != items).any()
    assert ((hidden == items) | (hidden == 1)).all()
    assert torch.equal(hidden == 0, items == 0)
    assert torch.equal(model.eval().items.hide(items), items)


def test_config_refuses_heads_that_do_not_divide_the_size():
    with pytest.raises(ValueError, match="num_heads must divide size; got 3 and 16"):
        AttentionConfig(**SIZES, num_heads=3)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"num_items": 1}, "num_items"), ({"dropout": 1.0}, "dropout"), ({"size": 0}, "size")],
)
def test_config_refuses_values_out_of_range(change, message):
    with pytest.raises(ValueError, match=message):
        DKTConfig(**{**SIZES, **change})


def test_config_from_dict_names_unknown_kinds_and_keys():
    with pytest.raises(ValueError, match="kind must be one of attention, dkt; got 'sakt'"):
        config_from_dict({"kind": "sakt"})
    with pytest.raises(ValueError, match="a dkt tracer has no num_heads"):
        config_from_dict({"kind": "dkt", **SIZES, "num_heads": 4})


def test_build_tracer_matches_the_kind():
    assert isinstance(build_tracer(CONFIGS[0]), AttentionTracer)
    assert isinstance(build_tracer(CONFIGS[2]), DKT)


def test_batch_refuses_columns_of_other_shapes():
    batch = interaction_batch()
    with pytest.raises(ValueError, match="correct must have the shape of items"):
        replace(batch, correct=batch.correct[:, :3])
    with pytest.raises(ValueError, match="mask must be boolean"):
        replace(batch, mask=batch.mask.long())
    with pytest.raises(ValueError, match="kcs must have shape"):
        replace(batch, kcs=batch.kcs[:, :3])
    with pytest.raises(ValueError, match="items must have shape"):
        replace(batch, items=batch.items[0])


def test_batch_moves_whole():
    moved = interaction_batch().to("meta")
    assert {moved.items.device.type, moved.kcs.device.type, moved.lag.device.type} == {"meta"}
