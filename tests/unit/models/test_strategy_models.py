from dataclasses import replace

import pytest
import torch
from model_suite import check_model
from strategy_batches import every_strategy, pad_strategies, strategy_batch

from models.strategy import (
    EXAMPLE_FEATURES,
    LSTMStrategyConfig,
    LSTMStrategyModel,
    StrategyBatch,
    TransformerStrategyConfig,
    TransformerStrategyModel,
    build_strategy_model,
    config_from_dict,
)
from models.strategy.model import IMPOSSIBLE
from models.strategy.tokens import BOS, EOS, FIRST_KC, PAD, UNK

SIZES = {"num_tokens": FIRST_KC + 7, "vector_size": 5, "size": 16, "dropout": 0.0}
CONFIGS = [
    TransformerStrategyConfig(**SIZES, num_layers=2, num_heads=4, vector_dropout=0.0),
    TransformerStrategyConfig(**SIZES, num_layers=1, num_heads=1, vector_dropout=0.0),
    LSTMStrategyConfig(**SIZES, num_layers=1),
    LSTMStrategyConfig(**SIZES, num_layers=2),
]
configs = pytest.mark.parametrize("config", CONFIGS, ids=lambda c: f"{c.kind}-{c.num_layers}")
kinds = pytest.mark.parametrize("kind", ["transformer", "lstm"])


def predictor(config, *, seed=1, spread=0.3):
    """Return a network in which no weight hides behind a zero at the start."""
    torch.manual_seed(seed)
    model = build_strategy_model(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(spread * torch.randn_like(weight))
        model.embedding.weight[PAD] = 0.0
    return model


def tiny(kind, num_kcs=2, **changes):
    config = {c.kind: c for c in CONFIGS}[kind]
    return predictor(replace(config, num_tokens=FIRST_KC + num_kcs, **changes))


def with_tokens(batch: StrategyBatch, row: int, strategies: list[list[int]]) -> StrategyBatch:
    """Return one row of the batch again and again, each time with another strategy to predict."""
    longest = max(len(strategy) for strategy in strategies) + 1
    tokens = torch.full((len(strategies), longest), PAD)
    for place, strategy in enumerate(strategies):
        tokens[place, : len(strategy) + 1] = torch.tensor([*strategy, EOS])
    repeated = batch.rows(torch.full((len(strategies),), row))
    return replace(repeated, tokens=tokens)


@configs
def test_a_predictor_keeps_the_promises_of_every_model(config):
    torch.manual_seed(3)
    check_model(
        build_strategy_model(config),
        strategy_batch(),
        rebuild=lambda values: build_strategy_model(config_from_dict(values)),
        padded=pad_strategies,
    )


@configs
def test_gradients_are_finite_where_rows_have_no_example_and_tokens_are_masked(config):
    model, batch = predictor(config), strategy_batch()
    batch = replace(batch, allowed=batch.allowed.clone(), tokens=batch.tokens.clone())
    batch.tokens[3, 0] = UNK
    batch.allowed[0, batch.tokens[0, 0]] = False
    model.train()
    model.training_loss(batch).backward()
    assert all(torch.isfinite(weight.grad).all() for weight in model.parameters())


@kinds
@pytest.mark.parametrize("row", range(4))
def test_probabilities_of_all_strategies_sum_to_at_most_one_and_nearly_to_one(kind, row):
    model = tiny(kind)
    with torch.no_grad():
        if kind == "transformer":
            model.bias[EOS] += 6.0
        else:
            model.output.bias[EOS] += 6.0
    batch = strategy_batch(num_kcs=2, length=3)
    strategies = list(every_strategy(2, 9))
    asked = with_tokens(batch, row, strategies)
    with torch.no_grad():
        log_probs = model(asked).gather(2, asked.tokens.unsqueeze(2)).squeeze(2)
    total = log_probs.double().masked_fill(asked.tokens == PAD, 0.0).sum(1).exp().sum()
    assert 0.85 < total <= 1 + 1e-5


@configs
def test_the_next_tokens_probabilities_sum_to_one_at_every_place(config):
    model, batch = predictor(config), strategy_batch()
    total = model(batch).exp().sum(-1)
    torch.testing.assert_close(total[batch.tokens != PAD], torch.ones(int((batch.tokens != PAD).sum())))


@configs
def test_step_by_step_decoding_gives_the_log_probabilities_of_the_forward_pass(config):
    model, batch = predictor(config), strategy_batch()
    columns = torch.arange(config.num_tokens)
    with torch.no_grad():
        expected = model(batch)
        memory, state = model.start(batch, columns)
        last = torch.full((len(batch), 1), BOS)
        for place in range(batch.tokens.shape[1]):
            found, state = model.step(last, memory, state, columns)
            real = batch.tokens[:, place] != PAD
            torch.testing.assert_close(found[real, 0], expected[real, place], rtol=1e-4, atol=1e-4)
            last = batch.tokens[:, place : place + 1].where(real.unsqueeze(1), EOS)


@kinds
@pytest.mark.parametrize("penalty", [0.0, 0.7])
def test_a_beam_wide_enough_finds_what_exhaustive_search_finds(kind, penalty):
    model = tiny(kind)
    batch = strategy_batch(num_kcs=2, length=3)
    strategies = list(every_strategy(2, 4))
    decoded = model.decode(batch, beam_size=64, max_length=4, length_penalty=penalty)
    for row in range(len(batch)):
        asked = with_tokens(batch, row, strategies)
        with torch.no_grad():
            log_probs = model(asked).gather(2, asked.tokens.unsqueeze(2)).squeeze(2)
        log_probs = log_probs.masked_fill(asked.tokens == PAD, 0.0).sum(1)
        lengths = torch.tensor([len(strategy) + 1 for strategy in strategies])
        best = int((log_probs / lengths**penalty).argmax())
        assert decoded.tokens[row, : decoded.lengths[row]].tolist() == strategies[best]
        torch.testing.assert_close(decoded.log_probs[row], log_probs[best], rtol=1e-4, atol=1e-4)


@configs
@pytest.mark.parametrize("beam_size", [1, 3])
def test_a_decoded_strategy_has_the_log_probability_that_the_forward_pass_gives(config, beam_size):
    model, batch = predictor(config), strategy_batch()
    decoded = model.decode(batch, beam_size=beam_size, max_length=8)
    tokens = torch.nn.functional.pad(decoded.tokens, (0, 1), value=PAD)
    tokens[torch.arange(len(batch)), decoded.lengths] = EOS
    with torch.no_grad():
        expected = model.target_log_probs(replace(batch, tokens=tokens)).sum(1)
    torch.testing.assert_close(decoded.log_probs, expected, rtol=1e-4, atol=1e-4)
    assert ((decoded.tokens == PAD).sum(1) == decoded.tokens.shape[1] - decoded.lengths).all()


@configs
def test_only_allowed_kcs_are_predicted_and_others_are_impossible(config):
    model, batch = predictor(config), strategy_batch()
    allowed = torch.zeros_like(batch.allowed)
    allowed[:, FIRST_KC + 2 : FIRST_KC + 4] = True
    batch = replace(batch, allowed=allowed)
    decoded = model.decode(batch, max_length=5)
    assert set(decoded.tokens.flatten().tolist()) <= {PAD, FIRST_KC + 2, FIRST_KC + 3}
    with torch.no_grad():
        log_probs = model(batch)
        targets = model.target_log_probs(batch)
    masked = ~allowed.gather(1, batch.tokens) & (batch.tokens >= FIRST_KC)
    assert masked.any()
    assert (targets[masked] == IMPOSSIBLE).all()
    assert (log_probs[:, :, [PAD, BOS, UNK, FIRST_KC]] == -torch.inf).all()
    assert torch.isfinite(model.loss(batch))


@configs
@pytest.mark.parametrize("place", [0, 2, 4])
def test_a_prediction_does_not_depend_on_its_own_or_later_tokens(config, place):
    model, batch = predictor(config), strategy_batch(length=8)
    batch = replace(batch, tokens=batch.tokens.where(batch.tokens >= FIRST_KC, FIRST_KC + 1))
    changed = batch.tokens.clone()
    changed[:, place:] = FIRST_KC + (changed[:, place:] - FIRST_KC + 1) % 7
    with torch.no_grad():
        before = model(batch)[:, : place + 1]
        after = model(replace(batch, tokens=changed))[:, : place + 1]
    torch.testing.assert_close(after, before, rtol=1e-5, atol=1e-5)


@configs
@pytest.mark.parametrize("name", ["student_vectors", "section_vectors", "problem_vectors"])
def test_a_prediction_depends_on_each_vector(config, name):
    model, batch = predictor(config), strategy_batch()
    with torch.no_grad():
        change = model(batch).exp() - model(replace(batch, **{name: -getattr(batch, name)})).exp()
    assert change.abs().amax(dim=(1, 2)).min() > 1e-5


@pytest.mark.parametrize("name", ["student_mastery", "example_features"])
def test_the_transformer_reads_mastery_and_what_is_known_of_examples(name):
    model, batch = predictor(CONFIGS[0]), strategy_batch()
    with torch.no_grad():
        change = model(batch).exp() - model(replace(batch, **{name: 1 - getattr(batch, name)})).exp()
    assert change[0].abs().max() > 1e-4


def test_the_transformer_does_not_mind_the_order_of_its_examples():
    model, batch = predictor(CONFIGS[0]), strategy_batch()
    turned = replace(batch, examples=batch.examples.flip(1), example_features=batch.example_features.flip(1))
    with torch.no_grad():
        torch.testing.assert_close(model.loss(turned), model.loss(batch))


def test_an_untrained_transformer_repeats_the_example_with_the_largest_share():
    torch.manual_seed(0)
    model = build_strategy_model(CONFIGS[0]).eval()
    batch = strategy_batch(num_examples=3)
    features = torch.zeros_like(batch.example_features)
    share = EXAMPLE_FEATURES.index("named_share_alike")
    features[:, :, share] = torch.tensor([0.2, 0.7, 0.1]).log()
    decoded = model.decode(replace(batch, example_features=features), max_length=10)
    for row in (0, 2, 3):
        example = batch.examples[row, 1]
        if (batch.allowed[row, example] | (example < FIRST_KC)).all():
            expected = example[: int((example >= FIRST_KC).sum())]
            assert torch.equal(decoded.tokens[row, : decoded.lengths[row]], expected)


def test_example_that_holds_a_kc_that_may_not_occur_is_never_followed():
    model, batch = predictor(CONFIGS[0]), strategy_batch()
    allowed = batch.allowed.clone()
    allowed[0, batch.examples[0, 0, 0]] = False
    without = batch.examples.clone()
    without[0, 0] = PAD
    with torch.no_grad():
        torch.testing.assert_close(
            model(replace(batch, allowed=allowed)), model(replace(batch, allowed=allowed, examples=without))
        )


@pytest.mark.parametrize("num_examples", [0, 1])
def test_the_transformer_works_with_few_examples_and_with_none(num_examples):
    model, batch = predictor(CONFIGS[0]), strategy_batch(num_examples=num_examples)
    assert torch.isfinite(model.training_loss(batch))
    assert len(model.decode(batch, max_length=4).lengths) == len(batch)


def test_vectors_are_hidden_in_training_only():
    config = replace(CONFIGS[0], vector_dropout=0.9)
    model, batch = predictor(config), strategy_batch()
    with torch.no_grad():
        assert torch.equal(model(batch), model(batch))
        model.train()
        torch.manual_seed(0)
        assert not torch.equal(model(batch), model(batch))


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        (LSTMStrategyConfig, {"num_tokens": FIRST_KC}, "num_tokens must be at least 5"),
        (LSTMStrategyConfig, {"dropout": 1.0}, "dropout"),
        (LSTMStrategyConfig, {"vector_size": 0}, "vector_size"),
        (TransformerStrategyConfig, {"num_heads": 3}, "num_heads must divide size; got 3 and 16"),
        (TransformerStrategyConfig, {"max_positions": 0}, "max_positions"),
        (TransformerStrategyConfig, {"vector_dropout": 1.0}, "vector_dropout"),
        (TransformerStrategyConfig, {"writing_weight": -0.1}, "writing_weight"),
    ],
)
def test_config_refuses_values_out_of_range(kind, change, message):
    with pytest.raises(ValueError, match=message):
        kind(**{**SIZES, **change})


def test_config_from_dict_names_unknown_kinds_and_keys():
    with pytest.raises(ValueError, match="kind must be one of lstm, transformer; got 'gru'"):
        config_from_dict({"kind": "gru"})
    with pytest.raises(ValueError, match="a lstm strategy predictor has no num_heads"):
        config_from_dict({"kind": "lstm", **SIZES, "num_heads": 4})


def test_build_matches_the_kind_and_the_parity_model_has_200_units():
    assert isinstance(build_strategy_model(CONFIGS[0]), TransformerStrategyModel)
    parity = build_strategy_model(LSTMStrategyConfig(num_tokens=12, vector_size=5))
    assert isinstance(parity, LSTMStrategyModel)
    assert parity.decoder.hidden_size == parity.encoder.hidden_size == 200
