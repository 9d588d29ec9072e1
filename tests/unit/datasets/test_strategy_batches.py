from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch
from strategy_data import planted, planted_embedding

from edpipe.datasets.strategy_batches import AttemptSampler, StrategyDataModule, attempt_batches
from edpipe.datasets.strategy_encoder import StrategyEncoder
from edpipe.datasets.strategy_history import answer_history
from edpipe.datasets.strategy_memory import StrategyMemory, remember
from models.strategy import EXAMPLE_FEATURES
from models.strategy.tokens import EOS, FIRST_KC, PAD, UNK, decode_tokens

NUM_EXAMPLES = 6
IS_SAME = EXAMPLE_FEATURES.index("is_same_problem")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return planted(tmp_path_factory.mktemp("tutor"), num_students=24)


@pytest.fixture(scope="module")
def embedding(world):
    return planted_embedding(world)


def rows_of(dataset, split):
    return np.flatnonzero((dataset.attempts["split"] == split).to_numpy())


def memory_of(dataset, embedding, rows):
    answers = answer_history(dataset)
    return remember(dataset, rows, answers, embedding.kc_mean, shrinkage=5.0, seed=7)


def encoder_of(dataset, embedding, rows, *, learned=True, num_examples=NUM_EXAMPLES):
    memory = memory_of(dataset, embedding, rows)
    return StrategyEncoder.of(
        dataset, embedding, memory, num_examples=num_examples, train_rows=rows if learned else None
    )


def strategies_of(encoder, examples):
    """Return the strategies among the examples of one attempt, as KC codes of the dataset."""
    found = [decode_tokens(row) for row in examples if row[0] != PAD]
    return [tuple(int(encoder.histories.kcs[kc]) for kc in strategy) for strategy in found]


def same(first, second, but=()):
    return all(
        torch.equal(getattr(first, name), getattr(second, name))
        for name in first.__dataclass_fields__
        if name not in but
    )


def test_tokens_are_the_strategy_with_its_end(world, embedding):
    dataset, rows = world.dataset, rows_of(world.dataset, "train")
    encoder = encoder_of(dataset, embedding, rows)
    batch = encoder.encode(rows[:20])
    for place, row in enumerate(rows[:20]):
        kcs = encoder.histories.kcs[decode_tokens(batch.tokens[place])]
        assert kcs.tolist() == dataset.strategy(int(row)).tolist()
        assert int((batch.tokens[place] == EOS).sum()) == 1


def test_examples_are_strategies_of_the_problem_then_of_the_section_by_an_independent_count(world, embedding):
    dataset, rows = world.dataset, rows_of(world.dataset, "train")
    encoder = encoder_of(dataset, embedding, rows, learned=False)
    asked = rows_of(dataset, "test")[:40]
    batch = encoder.encode(asked)
    for place, row in enumerate(asked):
        counts = {"problem": {}, "section": {}}
        for other in rows:
            strategy = tuple(dataset.strategy(int(other)).tolist())
            for kind, codes in (("problem", dataset.problem), ("section", dataset.section)):
                if codes[other] == codes[row]:
                    counts[kind][strategy] = counts[kind].get(strategy, 0) + 1
        found = strategies_of(encoder, batch.examples[place])
        here = batch.example_features[place, : len(found), IS_SAME].bool().tolist()
        assert len(set(found)) == len(found)
        assert [strategy in counts["problem"] for strategy in found] == here
        assert here == sorted(here, reverse=True)
        number = [counts["problem"][strategy] for strategy in found[: sum(here)]]
        assert number == sorted(counts["problem"].values(), reverse=True)[:NUM_EXAMPLES]
        assert all(strategy in counts["section"] for strategy in found)
        assert len(found) == min(NUM_EXAMPLES, len(counts["section"]))


def test_in_training_an_attempt_never_finds_itself(world, embedding):
    """What is known of an attempt's examples equals what a memory without the attempt would say."""
    dataset, rows = world.dataset, rows_of(world.dataset, "train")
    encoder = encoder_of(dataset, embedding, rows, num_examples=200)
    for row in rows[::37]:
        others = rows[rows != row]
        memory = memory_of(dataset, embedding, others)
        # Equal groups, so that only the counts differ.
        without = StrategyEncoder.of(
            dataset, embedding, replace(memory, groups=_restricted(encoder, memory)), num_examples=200
        )
        with_it, alone = encoder.encode(np.array([row])), without.encode(np.array([row]))
        expected = set(strategies_of(without, alone.examples[0]))
        assert set(strategies_of(encoder, with_it.examples[0])) == expected
        own = tuple(dataset.strategy(int(row)).tolist())
        counts = _log_shares(encoder, with_it), _log_shares(without, alone)
        for strategy in expected:
            assert counts[0][strategy][:2] == pytest.approx(counts[1][strategy][:2], abs=1e-5)
        if own not in expected:
            assert own not in strategies_of(encoder, with_it.examples[0])


def _restricted(encoder, memory):
    """Return the groups of the encoder over the KCs of another memory."""
    code = {name: place for place, name in enumerate(encoder.memory.kc_ids)}
    columns = [code[name] for name in memory.kc_ids]
    groups = encoder.memory.groups
    return replace(groups, mastery=groups.mastery[:, columns], preference=groups.preference[:, columns])


def _log_shares(encoder, batch):
    found = strategies_of(encoder, batch.examples[0])
    return dict(zip(found, batch.example_features[0, : len(found)].tolist(), strict=True))


def test_the_only_attempt_of_a_section_has_no_example_and_may_use_every_kc(world, embedding):
    dataset = world.dataset
    train = rows_of(dataset, "train")
    first = np.array([train[dataset.section[train] == section][0] for section in range(4)])
    encoder = encoder_of(dataset, embedding, np.sort(first))
    batch = encoder.encode(np.sort(first))
    assert (batch.examples == PAD).all()
    assert batch.allowed[:, FIRST_KC:].all()


def test_only_kcs_met_in_the_section_in_other_training_attempts_are_allowed(world, embedding):
    dataset, rows = world.dataset, rows_of(world.dataset, "train")
    encoder = encoder_of(dataset, embedding, rows)
    asked = rows[::50]
    allowed = encoder.encode(asked).allowed.numpy()
    for place, row in enumerate(asked):
        others = rows[(dataset.section[rows] == dataset.section[row]) & (rows != row)]
        met = {dataset.kc_ids[kc] for other in others for kc in dataset.strategy(int(other))}
        found = {encoder.memory.kc_ids[kc] for kc in np.flatnonzero(allowed[place, FIRST_KC:])}
        assert found == met
        assert allowed[place, EOS]
        assert not allowed[place, [PAD, UNK]].any()


def test_nothing_of_later_or_test_attempts_and_nothing_of_its_own_strategy_reaches_an_input(world, embedding):
    dataset = world.dataset
    train, test = rows_of(dataset, "train"), rows_of(dataset, "test")
    number = dataset.attempts["attempt_number"].to_numpy()
    asked = test[number[test] == 10]
    encoder = encoder_of(dataset, embedding, train, learned=False)
    expected = encoder.encode(asked)
    # Everything that test students do from this attempt on becomes something else.
    is_changed = np.isin(dataset.student, dataset.student[asked]) & (number >= 10)
    observations = dataset.observations.with_columns(
        num_correct=pl.when(pl.Series(is_changed[dataset.observations["attempt"].to_numpy()]))
        .then(pl.col("num_scored") - pl.col("num_correct"))
        .otherwise(pl.col("num_correct"))
        .cast(pl.Int32),
    )
    kcs = dataset.kcs.copy()
    for row in np.flatnonzero(is_changed):
        begin, end = dataset.strategy_start[row], dataset.strategy_start[row + 1]
        kcs[begin:end] = kcs[begin:end][::-1]
    other = replace(dataset, observations=observations, kcs=kcs)
    changed = encoder_of(other, embedding, train, learned=False).encode(asked)
    assert same(expected, changed, but=("tokens",))
    assert not torch.equal(expected.tokens, changed.tokens)


def test_what_came_before_an_attempt_does_reach_its_inputs(world, embedding):
    dataset = world.dataset
    train, test = rows_of(dataset, "train"), rows_of(dataset, "test")
    number = dataset.attempts["attempt_number"].to_numpy()
    asked = test[number[test] == 10]
    earlier = (number < 10)[dataset.observations["attempt"].to_numpy()]
    observations = dataset.observations.with_columns(
        num_correct=pl.when(pl.Series(earlier))
        .then(pl.col("num_scored") - pl.col("num_correct"))
        .otherwise(pl.col("num_correct"))
        .cast(pl.Int32)
    )
    memory = memory_of(dataset, embedding, train)
    batches = [
        StrategyEncoder.of(data, embedding, memory, num_examples=4).encode(asked)
        for data in (dataset, replace(dataset, observations=observations))
    ]
    for name in ("student_mastery", "student_vectors", "example_features"):
        assert not torch.equal(getattr(batches[0], name), getattr(batches[1], name))


def test_a_new_students_vector_is_the_embeddings_own(world, embedding):
    dataset, test = world.dataset, rows_of(world.dataset, "test")
    encoder = encoder_of(dataset, embedding, rows_of(dataset, "train"), learned=False)
    found = encoder.encode(test).student_vectors.numpy()
    np.testing.assert_allclose(found, embedding.student_vectors(dataset, test), atol=1e-5)


def test_a_known_student_may_be_shown_as_new(world, embedding):
    dataset, train = world.dataset, rows_of(world.dataset, "train")
    encoder = encoder_of(dataset, embedding, train)
    is_new = np.arange(20) % 2 == 0
    known = encoder.encode(train[:20]).student_vectors
    found = encoder.encode(train[:20], is_new=is_new).student_vectors
    assert torch.equal(found[~is_new], known[~is_new])
    without = replace(embedding, students=np.zeros_like(embedding.students))
    expected = without.student_vectors(dataset, train[:20][is_new])
    np.testing.assert_allclose(found[is_new].numpy(), expected, atol=1e-5)


def test_mastery_lies_between_the_students_own_share_and_what_is_expected_of_his_like(world, embedding):
    dataset, train = world.dataset, rows_of(world.dataset, "train")
    encoder = encoder_of(dataset, embedding, train)
    evidence, _ = encoder.histories.before(train)
    mastery = encoder.encode(train).student_mastery.numpy()
    groups = encoder.memory.groups
    prior = groups.chances(evidence, encoder.gains[train]) @ groups.mastery
    share = evidence.correct / np.maximum(evidence.scored, 1)
    low = np.where(evidence.scored > 0, np.minimum(prior, share), prior)
    high = np.where(evidence.scored > 0, np.maximum(prior, share), prior)
    assert (mastery >= low - 1e-5).all()
    assert (mastery <= high + 1e-5).all()


def test_a_memory_survives_a_file_of_plain_values(world, embedding, tmp_path):
    dataset, train = world.dataset, rows_of(world.dataset, "train")
    memory = memory_of(dataset, embedding, train)
    torch.save(memory.to_dict(), tmp_path / "memory.pt")
    again = StrategyMemory.from_dict(torch.load(tmp_path / "memory.pt", weights_only=True))
    test = rows_of(dataset, "test")
    first, second = (
        StrategyEncoder.of(dataset, embedding, one, num_examples=4).encode(test) for one in (memory, again)
    )
    assert same(first, second)
    assert again.kc_ids == memory.kc_ids
    assert again.counted is None
    with pytest.raises(ValueError, match="memory just made"):
        StrategyEncoder.of(dataset, embedding, again, num_examples=4, train_rows=train)


def test_kcs_sections_and_problems_that_training_never_met_are_unknown(world, embedding):
    dataset = world.dataset
    train = rows_of(dataset, "train")
    some = train[dataset.section[train] == 0]
    encoder = encoder_of(dataset, embedding, some, learned=False)
    elsewhere = train[dataset.section[train] == 1]
    batch = encoder.encode(elsewhere)
    assert (batch.examples == PAD).all()
    assert batch.allowed[:, FIRST_KC:].all()
    assert (batch.tokens == UNK).any()
    assert batch.example_features.abs().sum() == 0


def test_batches_for_prediction_visit_each_attempt_once_and_keep_sections_together(world, embedding):
    dataset, test = world.dataset, rows_of(world.dataset, "test")
    encoder = encoder_of(dataset, embedding, rows_of(dataset, "train"), learned=False)
    places = np.concatenate([places for places, _ in attempt_batches(encoder, test, 7)])
    assert np.array_equal(np.sort(places), np.arange(len(test)))
    assert (np.diff(dataset.section[test[places]]) >= 0).all()


def test_a_pass_visits_each_attempt_once_and_epochs_differ():
    lengths = np.arange(50) % 7
    sampler = AttemptSampler(lengths, 8, seed=3)
    passes = []
    for epoch in (0, 1):
        sampler.set_epoch(epoch)
        passes.append(np.concatenate(list(sampler)))
    assert all(np.array_equal(np.sort(one), np.arange(50)) for one in passes)
    assert not np.array_equal(*passes)


@pytest.mark.parametrize("num_batches", [3, 7, 20])
def test_epochs_of_equally_many_batches_run_through_the_same_passes(num_batches):
    lengths = np.arange(50) % 7
    plain = AttemptSampler(lengths, 8, seed=3)
    stretched = AttemptSampler(lengths, 8, seed=3, num_batches=num_batches)
    stream, expected = [], []
    for epoch in range(6):
        plain.set_epoch(epoch)
        expected += list(plain)
        stretched.set_epoch(epoch)
        batches = list(stretched)
        assert len(batches) == len(stretched) == num_batches
        stream += batches
    for found, wanted in zip(stream[: len(expected)], expected, strict=False):
        assert np.array_equal(found, wanted)


def test_the_module_serves_training_without_and_validation_with_everything_known(world, embedding):
    dataset = world.dataset
    train, valid = rows_of(dataset, "train"), rows_of(dataset, "valid")
    encoder = encoder_of(dataset, embedding, train)
    data = StrategyDataModule(encoder, train, valid, batch_size=16, seed=1)
    batches = list(data.train_dataloader())
    assert len(batches) == data.batches_per_epoch
    assert sum(len(batch) for batch in batches) == len(train)
    assert sum(len(batch) for batch in data.val_dataloader()) == len(valid)
    again = list(StrategyDataModule(encoder, train, valid, batch_size=16, seed=1).train_dataloader())
    assert all(same(*pair) for pair in zip(batches, again, strict=True))


def test_shares_are_logarithms_of_shares_and_count_students_by_their_groups(world, embedding):
    dataset, test = world.dataset, rows_of(world.dataset, "test")
    encoder = encoder_of(dataset, embedding, rows_of(dataset, "train"), learned=False)
    batch = encoder.encode(test)
    shares = batch.example_features[..., :4]
    assert torch.isfinite(shares).all()
    assert (shares <= 1e-5).all()
    # With one group all students are alike.
    memory = memory_of(dataset, embedding, rows_of(dataset, "train"))
    ones = np.ones((1, len(memory.kc_ids)), dtype=np.float32)
    single = replace(memory.groups, mastery=0.5 * ones, preference=0 * ones, share=ones[0, :1])
    memory = replace(
        memory,
        groups=single,
        problems=_one_group(memory.problems),
        sections=_one_group(memory.sections),
    )
    alone = StrategyEncoder.of(dataset, embedding, memory, num_examples=NUM_EXAMPLES).encode(test)
    share, alike = (
        alone.example_features[..., EXAMPLE_FEATURES.index(name)]
        for name in ("section_share", "section_share_alike")
    )
    is_frequent = share > np.log(0.2)
    assert (share - alike)[is_frequent].abs().max() < 0.1


def _one_group(counts):
    total = counts.total.astype(np.float32)[:, None]
    return replace(counts, groups=counts.count.astype(np.float32)[:, None], total_groups=total)
