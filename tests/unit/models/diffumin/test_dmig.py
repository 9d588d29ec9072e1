import pytest
import torch
from impression_batches import SIZES
from torch import nn

from models.diffumin import DiffuMINConfig
from models.diffumin.augmentation import data_points
from models.diffumin.denoiser import Denoiser
from models.diffumin.distilled import DistilledDMIG, distillation_loss
from models.diffumin.dmig import DMIG, noise_schedule
from models.diffumin.encoder import EncoderLayer, MultiHeadAttention
from models.diffumin.interest_block import build_augmentation, num_weights
from models.diffumin.keyed_noise import DrawnNoise, KeyedNoise, ZeroNoise
from models.diffumin.omie import Interests
from models.diffusion import DDIM, DDPM, Estimate, VariancePreserving


def config_of(**changes):
    return DiffuMINConfig(**(SIZES | changes))


def interests(rows=6, number=3, size=16, seed=0):
    random = torch.Generator().manual_seed(seed)
    return Interests(
        torch.randn(rows, number, size, generator=random),
        torch.linalg.qr(torch.randn(rows, size, number, generator=random)).Q.transpose(1, 2),
        torch.ones(rows, number),
    )


def shaken(module, seed=3):
    """Move every weight, so that nothing hides behind a zero."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in module.parameters():
            weight.add_(0.1 * torch.randn(weight.shape, generator=random))
    return module.eval()


def zero_noise(rows=6):
    return ZeroNoise(torch.arange(rows))


def test_schedule_is_that_of_the_paper():
    alpha_bar = noise_schedule(config_of()).alpha_bar
    table = {1: 0.99990, 5: 0.99930, 10: 0.99811, 20: 0.99423, 50: 0.97102, 100: 0.89702, 250: 0.52409}
    table |= {500: 0.07859, 1000: 4e-5}
    for level, expected in table.items():
        assert alpha_bar[level - 1].item() == pytest.approx(expected, abs=6e-6)
    crossing = int((1 - alpha_bar < alpha_bar / 40).sum()) + 1
    assert crossing == 46  # from here on noise outweighs an interest of length 1 and width 40


def test_noised_interests_have_the_moments_of_the_process():
    process = VariancePreserving(noise_schedule(config_of()))
    x0 = torch.tensor([[0.6, -0.8]]).expand(20_000, -1)
    noise = torch.randn(x0.shape, generator=torch.Generator().manual_seed(0))
    for step in (9, 99, 499):
        x = process.add_noise(x0, torch.full((20_000,), step), noise)
        alpha_bar = process.schedule.alpha_bar[step]
        torch.testing.assert_close(x.mean(0), alpha_bar.sqrt() * x0[0], rtol=0, atol=0.02)
        torch.testing.assert_close(x.var(0), (1 - alpha_bar).expand(2), rtol=0.04, atol=1e-4)


@pytest.mark.parametrize("kind", ["noise", "clean", "velocity"])
def test_what_the_network_is_trained_to_say_leads_back_to_interest_and_noise(kind):
    process = VariancePreserving(noise_schedule(config_of()), kind)
    x0, noise = torch.randn(9, 3, 8), torch.randn(9, 3, 8)
    step = torch.tensor([0, 1, 5, 9, 20, 100, 300, 700, 999])
    x = process.add_noise(x0, step, noise)
    found = process.estimate(process.target(x0, noise, step), x, step)
    torch.testing.assert_close(found.x0, x0, rtol=0, atol=2e-3)
    torch.testing.assert_close(found.noise, noise, rtol=0, atol=2e-3)


@pytest.mark.parametrize("sampler", [DDIM(), DDPM("forward"), DDPM("posterior")])
def test_an_oracle_that_knows_the_interest_returns_it_exactly(sampler):
    process = VariancePreserving(noise_schedule(config_of()))
    x0 = torch.nn.functional.normalize(torch.randn(50, 3, 40), dim=-1)

    def oracle(x, time):
        signal, spread = (part.view(-1, 1, 1) for part in (process.signal(time), process.spread(time)))
        return Estimate(x0=x0, noise=(x - signal * x0) / spread)

    start = process.add_noise(x0, torch.full((50,), 9), torch.randn(x0.shape))
    found = sampler.sample(oracle, process, start, 10, start=9)
    torch.testing.assert_close(found, x0, rtol=0, atol=1e-4)


def best_cosine(start_rule, num_steps, rows=1500, size=40):
    """Return cosine and length after an ideal denoiser for interests of that variance, ancestral steps."""
    random = torch.Generator().manual_seed(0)
    process = VariancePreserving(noise_schedule(config_of()))
    x0 = torch.randn(rows, size, generator=random) / size**0.5

    def ideal(x, time):
        signal, spread = process.signal(time).view(-1, 1), process.spread(time).view(-1, 1)
        mean = signal / size / (signal.square() / size + spread.square()) * x
        return Estimate(x0=mean, noise=(x - signal * mean) / spread)

    noise = torch.randn(x0.shape, generator=random)
    level = torch.full((rows,), num_steps - 1)
    if start_rule == "uniform":
        level = torch.randint(0, 1000, (rows,), generator=random)
    start = process.add_noise(x0, level, noise)
    found = DDPM("forward").sample(ideal, process, start, num_steps, random, start=num_steps - 1)
    return torch.cosine_similarity(found, x0).mean().item(), found.norm(dim=1).mean().item()


@pytest.mark.parametrize(("num_steps", "cosine"), [(10, 0.93), (20, 0.81), (50, 0.45)])
def test_sampling_from_the_last_level_keeps_the_interest(num_steps, cosine):
    found, length = best_cosine("at_last", num_steps)
    assert found == pytest.approx(cosine, abs=0.02)
    assert length == pytest.approx(1.0, rel=0.05)


@pytest.mark.parametrize(
    ("num_steps", "cosine", "length"), [(10, 0.138, 4.77), (20, 0.134, 4.19), (50, 0.108, 2.50)]
)
def test_the_papers_start_loses_the_interest(num_steps, cosine, length):
    found, norm = best_cosine("uniform", num_steps)
    assert found == pytest.approx(cosine, abs=0.03)
    assert norm == pytest.approx(length, rel=0.1)


def test_one_key_attention_is_a_linear_map_of_the_key():
    layer = EncoderLayer(16, 4, 2, condition="own").eval()
    attention = MultiHeadAttention(16, 4).eval()
    condition, tokens = torch.randn(5, 1, 16), torch.randn(5, 3, 16)
    value, bias = attention.key_value.weight[16:], attention.key_value.bias[16:]
    with torch.no_grad():
        layer.condition.weight.copy_(attention.output.weight @ value)
        layer.condition.bias.copy_(attention.output.weight @ bias + attention.output.bias)
    full = attention(tokens, condition)
    torch.testing.assert_close(layer.linear_condition(condition).expand_as(full), full, rtol=0, atol=1e-5)
    full.square().sum().backward()
    assert attention.query.weight.grad.abs().max() < 1e-5  # nothing to weigh


def test_attention_is_that_of_torch():
    ours, theirs = MultiHeadAttention(16, 4).eval(), nn.MultiheadAttention(16, 4, batch_first=True).eval()
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key_value.weight]))
        theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, ours.key_value.bias]))
        theirs.out_proj.load_state_dict(ours.output.state_dict())
    queries, keys = torch.randn(3, 5, 16), torch.randn(3, 7, 16)
    mask = torch.rand(3, 7) < 0.7
    mask[:, 0] = True
    expected, _ = theirs(queries, keys, keys, key_padding_mask=~mask)
    torch.testing.assert_close(ours(queries, keys, mask), expected, rtol=0, atol=1e-5)


def test_seeing_itself_is_one_more_key():
    attention = MultiHeadAttention(16, 4)
    queries, keys = torch.randn(3, 5, 16), torch.randn(3, 7, 16)
    found = attention(queries, keys, sees_itself=True)
    for place in range(5):
        own = queries[:, place : place + 1]
        expected = attention(own, torch.cat([keys, own], dim=1))
        torch.testing.assert_close(found[:, place : place + 1], expected, rtol=0, atol=1e-5)


def one_channel_at_a_time(denoiser, noisy, clean, channels, time):
    """Denoise as the equations are written: a pass for each channel, over all tokens of every layer."""
    config, found = denoiser.config, []
    for channel in range(noisy.shape[1]):
        tokens = clean.clone()
        tokens[:, channel] = noisy[:, channel]
        told = denoiser.step(time).unsqueeze(1)
        if config.noisy_mark == "time":
            tokens[:, channel] += told[:, 0]
        else:
            tokens = tokens + told
        if denoiser.marker is not None:
            tokens[:, channel] += denoiser.marker
        condition = {"own": channels[:, channel : channel + 1], "all": channels, "none": None}
        for layer in denoiser.layers:
            tokens = layer(tokens, tokens, condition=condition[config.channel_condition])
        said = tokens[:, channel]
        found.append(said if denoiser.head is None else denoiser.head(said))
    return torch.stack(found, dim=1)


@pytest.mark.parametrize("mark", ["unmarked", "embedding", "time"])
@pytest.mark.parametrize("condition", ["own", "all", "none"])
def test_all_channels_in_one_pass_are_one_at_a_time(mark, condition):
    denoiser = shaken(Denoiser(config_of(noisy_mark=mark, channel_condition=condition)))
    given, noisy = interests(), torch.randn(6, 3, 16)
    time = torch.arange(6.0)
    found = denoiser(noisy, given.values, given.channels, time)
    expected = one_channel_at_a_time(denoiser, noisy, given.values, given.channels, time)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    each = denoiser(noisy, given.values, given.channels, time.unsqueeze(1).expand(-1, 3))
    torch.testing.assert_close(each, found, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "sees_others", "sees_channel"),
    [
        ({}, True, True),
        ({"is_interest_conditioned": False}, False, True),
        ({"channel_condition": "none"}, True, False),
    ],
)
def test_the_denoiser_sees_what_it_is_given(change, sees_others, sees_channel):
    denoiser = shaken(Denoiser(config_of(**change)))
    given, noisy, time = interests(), torch.randn(6, 3, 16), torch.zeros(6)
    before = denoiser(noisy, given.values, given.channels, time)
    others = given.values.clone()
    others[:, 1] += 1.0
    moved = (denoiser(noisy, others, given.channels, time) - before).abs().amax(dim=(0, 2))
    assert (moved > 1e-4).tolist() == [sees_others, False, sees_others]
    turned = (denoiser(noisy, given.values, -given.channels, time) - before).abs().max()
    assert (turned > 1e-4) == sees_channel


@pytest.mark.parametrize("scale", ["raw", "unit", "sqrt_d"])
def test_interests_are_brought_to_their_length_and_nothing_stays_nothing(scale):
    values = interests().values
    values[0, 0] = 0.0
    found = data_points(values, scale)
    expected = {"raw": values[1].norm(dim=-1), "unit": torch.ones(3), "sqrt_d": torch.full((3,), 4.0)}
    torch.testing.assert_close(found[1].norm(dim=-1), expected[scale])
    assert (found[0, 0] == 0).all()


@pytest.mark.parametrize(("start", "expected"), [("at_last", True), ("uniform", False), ("gaussian", False)])
def test_sampling_starts_where_the_rule_says(start, expected):
    config = config_of(start_rule=start, inference_noise="keyed")
    generated = DMIG(config).start(interests(500).values, KeyedNoise(torch.arange(500)))
    cosine = torch.cosine_similarity(generated, interests(500).values, dim=-1).mean()
    assert (cosine > 0.95) == expected


def test_a_fresh_diffusion_with_a_head_of_zero_returns_the_start_at_the_length_of_the_signal():
    dmig = DMIG(config_of()).eval()
    given = interests()
    torch.testing.assert_close(
        dmig(given, zero_noise()), data_points(given.values, "unit"), rtol=0, atol=1e-3
    )


def test_gradients_of_the_loss_reach_what_the_flags_allow():
    for detach_interests, detach_channels in [(True, False), (False, True), (False, False), (True, True)]:
        config = config_of(is_interest_detached=detach_interests, is_channel_detached=detach_channels)
        dmig, given = shaken(DMIG(config)), interests()
        given.values.requires_grad_()
        given.channels.requires_grad_()
        dmig.loss(given, KeyedNoise(torch.arange(6))).backward()
        assert (given.values.grad is None) == detach_interests
        assert (given.channels.grad is None) == detach_channels


def test_the_loss_is_a_mean_over_the_width_and_leaves_out_empty_channels():
    dmig, given = DMIG(config_of()).eval(), interests(400)
    noise = KeyedNoise(torch.arange(400))
    assert dmig.loss(given, noise).item() == pytest.approx(1.0, abs=0.03)  # it says 0 of standard noise
    given.num_kept[1:] = 0
    one = interests(400)
    one.values[1:] = 50.0
    emptied = Interests(one.values, one.channels, given.num_kept)
    assert dmig.loss(emptied, noise) == dmig.loss(given, noise)
    assert dmig.loss(Interests(given.values, given.channels, 0 * given.num_kept), noise) == 0


def test_the_clicks_loss_trains_the_denoiser_through_the_sampler():
    dmig = shaken(DMIG(config_of())).train()
    dmig(interests(), DrawnNoise()).square().sum().backward()
    assert all(weight.grad is not None for weight in dmig.parameters())


def test_training_and_sampling_may_disagree_only_where_asked():
    plain = DMIG(config_of(parameterization="clean"))
    assert plain.sampling_process is plain.process
    released = DMIG(config_of(parameterization="clean", sampling_parameterization="noise"))
    assert released.process.parameterization == "clean"
    assert released.sampling_process.parameterization == "noise"


@pytest.mark.parametrize("kind", ["mlp", "vae"])
def test_controls_have_as_many_weights_as_the_diffusion(kind):
    config = config_of(field_size=8, num_denoiser_heads=2)
    control = build_augmentation(DiffuMINConfig(**(SIZES | {"field_size": 8, "augmentation": kind})))
    assert num_weights(control) == pytest.approx(num_weights(DMIG(config)), rel=0.02)


def test_placebo_is_where_sampling_starts_and_repeat_the_interest_itself():
    given = interests()
    noise = KeyedNoise(torch.arange(6))
    placebo = build_augmentation(config_of(augmentation="placebo"))(given, noise)
    assert torch.equal(placebo, DMIG(config_of()).start(data_points(given.values, "unit"), noise))
    repeat = build_augmentation(config_of(augmentation="repeat"))(given, noise)
    assert torch.equal(repeat, data_points(given.values, "unit"))


def test_a_student_begins_as_the_interest_and_learns_its_teacher():
    torch.manual_seed(0)
    teacher = shaken(DMIG(config_of(start_level=200)))
    student = DistilledDMIG(config_of(augmentation="distilled"))
    given = interests(16)
    begun = student(given, zero_noise(16))
    assert torch.equal(begun, data_points(given.values, "unit"))
    optimizer = torch.optim.Adam(student.parameters(), lr=1e-2)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = distillation_loss(student, teacher, given, zero_noise(16))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]
    assert all(weight.grad is None for weight in teacher.parameters())
