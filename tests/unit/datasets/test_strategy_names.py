from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from kdd_slice import NUM_FOLDS, SLICE, read_slice, student_folds
from strategy_data import planted, planted_embedding

from edpipe.datasets.strategy_encoder import StrategyEncoder
from edpipe.datasets.strategy_history import answer_history
from edpipe.datasets.strategy_memory import UNSEEN, StrategyCounts, number_strategies, remember
from edpipe.datasets.strategy_names import NamedCounts, ProblemNames, problem_names
from edpipe.evaluation.strategy.baselines import NamedLookup, lookup
from edpipe.evaluation.strategy.metrics import attempt_scores, ratio
from models.strategy import EXAMPLE_FEATURES
from models.strategy.tokens import PAD, decode_tokens

WORDS = ("area", "AREA", "area-1", "rate", "rates", "slope", "x", "", "area of a disk", "slope-two")


def trigrams(name):
    padded = f"^^{name.lower()}$"
    return {padded[at : at + 3] for at in range(len(padded) - 2)}


def slow_weight(first, second):
    """The rule, name by name."""
    ours, theirs = trigrams(first), trigrams(second)
    return ((len(ours & theirs) / len(ours | theirs) + 0.02) / 1.02) ** 8


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """A planted world whose problems have names more or less like each other."""
    world = planted(tmp_path_factory.mktemp("tutor"), num_students=30)
    dataset = world.dataset
    number = np.zeros(dataset.num_sections, dtype=int)
    ids = []
    for section in dataset.problem_section:
        ids.append(f"{dataset.section_ids[section]}/{WORDS[number[section]]}")
        number[section] += 1
    return replace(dataset, problem_ids=tuple(ids)), planted_embedding(world)


@pytest.fixture(scope="module")
def parts(dataset):
    """Training and test attempts; a third of the problems is new to training."""
    split = dataset[0].attempts["split"].to_numpy()
    is_new = dataset[0].problem % 3 == 0
    return np.flatnonzero((split == "train") & ~is_new), np.flatnonzero(split == "test")


def slow_votes(dataset, train, row, *, chances=None):
    """Weight of each strategy for the problem of one attempt, and the sum of squares of all weights."""
    names = [name.rsplit("/", 1)[1] for name in dataset.problem_ids]
    votes, squared = {}, 0.0
    for other in train:
        if dataset.section[other] == dataset.section[row]:
            strategy = tuple(dataset.strategy(int(other)).tolist())
            weight = slow_weight(names[dataset.problem[other]], names[dataset.problem[row]])
            votes[strategy] = votes.get(strategy, 0.0) + weight
            squared += weight**2
    return votes, squared


def test_the_name_of_a_problem_is_its_id_without_the_section():
    ids = ("d/Unit 1/a/b", "d/Unit 2/c")
    assert problem_names(ids, ("d/Unit 1", "d/Unit 2"), np.array([0, 1])) == ("a/b", "c")


def test_the_named_lookup_agrees_with_counting_name_by_name(dataset, parts):
    data, _ = dataset
    train, test = parts
    said = NamedLookup().fit(data, train).predict(data, test)
    assert (~np.isin(data.problem[test], data.problem[train])).any()
    for place, row in enumerate(test):
        votes, _ = slow_votes(data, train, row)
        best = max(round(vote / sum(votes.values()), 9) for vote in votes.values())
        # Equal votes go to the strategy seen first, which the dictionary holds first.
        winner = next(key for key, vote in votes.items() if round(vote / sum(votes.values()), 9) == best)
        assert tuple(said.strategy(place).tolist()) == winner
        assert said.confidence[place] == pytest.approx(best)


def test_a_section_new_to_training_gets_the_most_frequent_strategy_of_all(dataset, parts):
    data, _ = dataset
    train, test = parts
    train, test = train[data.section[train] == 0], test[data.section[test] == 1]
    said = NamedLookup().fit(data, train).predict(data, test)
    codes, counts = np.unique(data.strategy_code[train], return_counts=True)
    usual = data.strategy(int(train[data.strategy_code[train] == codes[counts.argmax()]][0]))
    assert all(said.strategy(place).tolist() == usual.tolist() for place in range(len(test)))
    assert said.confidence == pytest.approx(counts.max() / len(train))


@pytest.mark.parametrize("chunk", [1, 50])
def test_large_sections_are_weighed_in_parts_with_the_same_result(dataset, parts, monkeypatch, chunk):
    data, _ = dataset
    train, _ = parts
    known, problem = np.unique(data.problem[train], return_inverse=True)
    counts = StrategyCounts.of(
        problem, number_strategies(data, train)[1], np.ones((len(train), 2), np.float32), len(known)
    )
    everything = problem_names(data.problem_ids, data.section_ids, data.problem_section)
    codes = np.full(data.num_problems, UNSEEN, dtype=np.int32)
    codes[known] = np.arange(len(known))
    asked = ProblemNames(everything, data.problem_section, codes)
    names = ProblemNames(tuple(everything[one] for one in known), data.problem_section[known], codes[:0])
    whole = NamedCounts.of(asked, names, counts, 4)
    monkeypatch.setattr("edpipe.datasets.strategy_names.CHUNK_NUMBERS", chunk)
    split = NamedCounts.of(asked, names, counts, 4)
    for name in NamedCounts.__dataclass_fields__:
        np.testing.assert_allclose(getattr(split, name), getattr(whole, name), rtol=1e-6)


@pytest.mark.parametrize("learned", [False, True])
def test_examples_come_in_the_order_of_their_named_share_without_the_attempt_itself(dataset, parts, learned):
    data, embedding = dataset
    train, test = parts
    memory = remember(data, train, answer_history(data), embedding.kc_mean, shrinkage=5.0, seed=7)
    encoder = StrategyEncoder.of(
        data, embedding, memory, num_examples=6, train_rows=train if learned else None
    )
    asked = train[::23] if learned else test[::5]
    batch = encoder.encode(asked)
    share = batch.example_features[..., EXAMPLE_FEATURES.index("named_share")].exp().numpy()
    number = np.expm1(batch.example_features[..., EXAMPLE_FEATURES.index("log_named_attempts")].numpy())
    section_share = batch.example_features[..., EXAMPLE_FEATURES.index("section_share")].exp().numpy()
    for place, row in enumerate(asked):
        votes, squared = slow_votes(data, train[train != row] if learned else train, row)
        total = sum(votes.values())
        found = [
            tuple(encoder.histories.kcs[decode_tokens(one)].tolist())
            for one in batch.examples[place]
            if one[0] != PAD
        ]
        assert len(found) == min(6, len(votes))
        weights = [round(votes[strategy] / total, 6) for strategy in found]
        expected = sorted((round(vote / total, 6) for vote in votes.values()), reverse=True)
        assert weights == pytest.approx(expected[:6], abs=2e-6)
        effective = total**2 / squared
        assert number[place, : len(found)] == pytest.approx(effective, rel=1e-4)
        smooth = (effective * np.array([votes[one] / total for one in found])) + section_share[
            place, : len(found)
        ]
        assert share[place, : len(found)] == pytest.approx(smooth / (effective + 1), rel=1e-4)


def test_where_nobody_else_was_at_the_problem_unlike_names_still_say_what_they_can(dataset, parts):
    """No rounding of the attempt's own weight, which is far larger, may come through."""
    data, embedding = dataset
    train, _ = parts
    names = tuple(
        f"{data.section_ids[section]}/{chr(97 + place)}" for place, section in enumerate(data.problem_section)
    )
    alone = np.array([train[data.problem[train] == one][0] for one in np.unique(data.problem[train])])
    data, rows = replace(data, problem_ids=names), np.sort(alone)
    memory = remember(data, rows, answer_history(data), embedding.kc_mean, shrinkage=5.0, seed=7)
    batch = StrategyEncoder.of(data, embedding, memory, num_examples=6, train_rows=rows).encode(rows)
    shares = batch.example_features[..., EXAMPLE_FEATURES.index("named_share_alike")]
    is_there = batch.examples[..., 0] != PAD
    assert is_there.any()
    assert (shares.exp()[is_there] > 1e-4).all()
    assert (shares.exp() * is_there).sum(-1).max() < 1.5


@pytest.mark.parametrize("kc_model", ["SubSkills", "KTracedSkills"])
def test_on_the_published_slice_names_raise_exact_match_and_overlap(real_data, kc_model):
    path = real_data / SLICE
    if not path.exists():
        pytest.skip(f"real data not present: {SLICE}")
    data = read_slice(path, kc_model)
    fold = student_folds(data)
    scores = {"lookup": [], "named_lookup": []}
    for number in range(NUM_FOLDS):
        train, test = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        for baseline in (lookup(), NamedLookup()):
            said = baseline.fit(data, train).predict(data, test)
            scores[baseline.name].append(attempt_scores(data, said))
    exact, overlap = (
        {name: ratio(pl.concat(parts), metric) for name, parts in scores.items()}
        for metric in ("exact_match", "jaccard")
    )
    assert exact["named_lookup"] > exact["lookup"] + 0.025
    assert overlap["named_lookup"] > overlap["lookup"] + 0.03
