import io
from dataclasses import replace

import pytest
import torch
from impression_batches import FIELDS, SIZES, impression_batch, pad_impressions, stirred
from model_suite import check_model

from models.diffumin import DiffuMINConfig, build_diffumin, config_from_dict, preset
from models.diffumin.prediction import Dice, RowNorm, corrected

LONG_TERM = ("diffumin", "none", "mean", "mean_match", "din", "sim_soft", "sim_hard", "eta", "sdim", "twin")
# Losses that no prediction can make small are left out where one batch is to be learned by heart.
FITTED = {"contrastive_weight": 1e-4, "diffusion_weight": 1e-3, "search_weight": 0.01}
CONFIGS = [
    *({"long_term": kind} for kind in LONG_TERM),
    *({"augmentation": kind} for kind in ("none", "distilled", "repeat", "placebo", "mlp", "vae")),
    {"channels_from": "table", "orthonormalization": "polar", "percentile": "routed"},
    {"channels_from": "random", "is_empty_learned": True, "pooling": "softmax"},
    {"short_term_history": "joint", "short_term_condition": "last_channel", "noisy_mark": "time"},
    {"start_rule": "uniform", "inference_noise": "keyed", "interest_scale": "sqrt_d", "activation": "relu"},
]


@pytest.mark.parametrize("changes", CONFIGS, ids=lambda changes: "-".join(map(str, changes.values())))
def test_network_keeps_the_promises_of_every_model(changes):
    torch.manual_seed(3)
    check_model(
        build_diffumin(DiffuMINConfig(**(SIZES | FITTED | changes))),
        impression_batch((0, 1, 3, 20, 9)),
        rebuild=lambda values: build_diffumin(config_from_dict(values)),
        padded=pad_impressions,
        overfit_steps=50,
    )


@pytest.mark.parametrize("name", ["default", "paper", "released"])
def test_presets_train(name):
    config = preset(name, FIELDS, **{key: SIZES[key] for key in SIZES if key != "num_field_values"})
    model, batch = build_diffumin(config), impression_batch()
    losses = model.losses(batch)
    expected = {"ctr", "diffusion", "contrastive"} if name == "paper" else {"ctr"}
    assert set(losses) == expected
    model.total(losses).backward()
    assert not [key for key, weight in model.named_parameters() if weight.grad is None]


def test_total_is_the_weighted_sum_of_the_parts():
    model, batch = build_diffumin(DiffuMINConfig(**SIZES)).eval(), impression_batch()
    parts = model.losses(batch)
    expected = parts["ctr"] + 0.01 * parts["diffusion"] + 0.001 * parts["contrastive"]
    torch.testing.assert_close(model.loss(batch), expected)


def test_losses_without_weight_change_the_gradients():
    grads = []
    for weights in ({}, {"diffusion_weight": 0.0, "contrastive_weight": 0.0}):
        torch.manual_seed(0)
        model = stirred(build_diffumin(DiffuMINConfig(**(SIZES | weights)))).eval()
        model.loss(impression_batch()).backward()
        grads.append(model.long_term.omie.channels.project.weight.grad)
    assert (grads[0] - grads[1]).abs().max() > 1e-5


def test_scores_repeat_bit_by_bit_and_training_noise_does_not():
    config = DiffuMINConfig(**(SIZES | {"inference_noise": "keyed", "start_level": 300}))
    model, batch = stirred(build_diffumin(config)), impression_batch()
    model.eval()
    assert torch.equal(model(batch), model(batch))
    model.train()
    assert not torch.equal(model(batch), model(batch))
    seeded = [model(batch, torch.Generator().manual_seed(1)) for _ in range(2)]
    torch.testing.assert_close(*seeded)


def test_keyed_scores_change_with_the_student_and_drawn_ones_from_call_to_call():
    batch = impression_batch()
    other = replace(batch, students=batch.students + 10)
    for noise, student_matters, repeats in (
        ("zero", False, True),
        ("keyed", True, True),
        ("drawn", None, False),
    ):
        config = DiffuMINConfig(**(SIZES | {"inference_noise": noise, "start_level": 300}))
        torch.manual_seed(0)
        model = stirred(build_diffumin(config)).eval()
        assert torch.equal(model(batch), model(batch)) == repeats
        if student_matters is not None:
            assert torch.equal(model(batch), model(other)) != student_matters


def test_bfloat16_autocast_gives_nearly_the_same_losses():
    model, batch = build_diffumin(DiffuMINConfig(**SIZES)).eval(), impression_batch()
    plain = model.losses(batch)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = model.losses(batch)
    for name, part in plain.items():
        torch.testing.assert_close(mixed[name].float(), part, rtol=0.05, atol=0.02)


@pytest.mark.parametrize("kind", ["diffumin", "sim_hard", "eta"])
def test_what_is_random_but_not_learned_is_in_the_checkpoint(kind):
    changes = {"long_term": kind, "channels_from": "random"}
    first = build_diffumin(DiffuMINConfig(**(SIZES | changes))).eval()
    second = build_diffumin(first.config).eval()
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(first(impression_batch()), second(impression_batch()))


def test_correction_undoes_the_sampling_of_negatives():
    true, rate = torch.linspace(0.01, 0.99, 50, dtype=torch.float64), 0.1
    seen = true / (true + rate * (1 - true))
    torch.testing.assert_close(corrected(seen, rate), true)
    assert torch.equal(corrected(seen, 1.0), seen)
    with pytest.raises(ValueError, match=r"\(0, 1\]"):
        corrected(seen, 0.0)
    model = build_diffumin(DiffuMINConfig(**(SIZES | {"negative_sample_rate": rate}))).eval()
    batch = impression_batch()
    torch.testing.assert_close(model.probabilities(batch), corrected(model(batch).sigmoid(), rate))


def test_dice_is_its_formula_and_takes_one_row():
    dice, values = Dice(3), torch.randn(40, 3)
    with torch.no_grad():
        dice.slope.fill_(0.3)
    share = torch.sigmoid((values - values.mean(0)) / (values.var(0, unbiased=False) + 1e-5).sqrt())
    torch.testing.assert_close(dice(values), values * (share + 0.3 * (1 - share)))
    assert torch.isfinite(dice(values[:1])).all()
    norm = RowNorm(3)
    norm(values)
    before = norm.running_mean.clone()
    norm(values[:1])
    assert torch.equal(norm.running_mean, before)


def test_din_weighs_by_the_four_parts_of_the_paper():
    model = stirred(
        build_diffumin(DiffuMINConfig(**(SIZES | {"long_term": "din", "num_retrieved": 0})))
    ).eval()
    din = model.long_term
    behavior, target = torch.randn(1, 5, 16), torch.randn(1, 2, 16)
    from models.diffumin.requests import Requests

    nothing = torch.zeros(1, 5, 3, dtype=torch.int64)
    request = Requests(target, nothing[:, :2], behavior, nothing, nothing[..., 0], torch.ones(1, 5).bool())
    # One linear map of [e, t, e - t, e * t]; the difference is split between the other two.
    weight = torch.cat(
        [din.behavior.weight - 0.5, din.target.weight + 0.5, torch.full((8, 16), 0.5), din.product.weight],
        dim=1,
    )
    e, t = behavior.unsqueeze(1).expand(1, 2, 5, 16), target.unsqueeze(2).expand(1, 2, 5, 16)
    joined = torch.cat([e, t, e - t, e * t], dim=-1)
    hidden = joined @ weight.T + din.behavior.bias
    weights = din.rest(hidden.flatten(0, 2)).view(1, 2, 5)
    torch.testing.assert_close(din.summarize(request), weights @ behavior, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["sim_soft", "sim_hard", "eta", "twin"])
def test_searches_that_find_all_behaviors_do_not_depend_on_how_many_they_may_find(kind):
    torch.manual_seed(0)
    model = stirred(
        build_diffumin(DiffuMINConfig(**(SIZES | {"long_term": kind, "num_retrieved": 40})))
    ).eval()
    more = build_diffumin(replace(model.config, num_retrieved=0)).eval()
    more.load_state_dict(model.state_dict())
    fewer = build_diffumin(replace(model.config, num_retrieved=1)).eval()
    fewer.load_state_dict(model.state_dict())
    batch = impression_batch()
    torch.testing.assert_close(more(batch), model(batch))
    assert (fewer(batch) - model(batch)).abs().max() > 1e-4


def test_hard_search_reads_the_latest_of_the_category_alone():
    torch.manual_seed(0)
    model = stirred(
        build_diffumin(DiffuMINConfig(**(SIZES | {"long_term": "sim_hard", "short_term_window": 0})))
    ).eval()
    batch = impression_batch((12,), (1,))
    items = batch.behavior_items.clone()
    items[:, 1] = 2
    items[3:, 1] = 3
    target = batch.target_items.clone()
    target[:, 1] = 2
    batch = replace(batch, behavior_items=items, target_items=target)
    before = model(batch)
    other = items.clone()
    other[5, 0] = 29 if items[5, 0] != 29 else 28
    assert torch.equal(model(replace(batch, behavior_items=other)), before)
    same = items.clone()
    same[1, 0] = 29 if items[1, 0] != 29 else 28
    assert not torch.equal(model(replace(batch, behavior_items=same)), before)


def test_sdim_sums_the_behaviors_that_collide_in_each_group():
    model = build_diffumin(DiffuMINConfig(**(SIZES | {"long_term": "sdim"})))
    block = model.long_term
    values = torch.randn(30, 16)
    sides = (values @ block.planes > 0).long().view(30, 4, 2)
    assert torch.equal(block.codes(values), sides[..., 0] + 2 * sides[..., 1])


def test_a_network_that_reads_nothing_is_refused():
    changes = {"long_term": "none", "short_term_window": 0, "has_target": False, "num_context": 0}
    with pytest.raises(ValueError, match="read nothing"):
        build_diffumin(DiffuMINConfig(**(SIZES | changes)))
