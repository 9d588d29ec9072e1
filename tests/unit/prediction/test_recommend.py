"""A recommender that is asked: the scores of evaluation, the same bits each time, reasons that add up."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from recommender_data import faithful_dataset, with_recommender

from edpipe.errors import SettingsError
from edpipe.prediction.diffumin import load_recommender
from edpipe.prediction.recommend import Grounds, History, ItemScorer, candidate_rows, ranked
from edpipe.settings import load_settings
from edpipe.training.diffumin import train_diffumin


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    dataset = faithful_dataset(folder / "datasets")
    settings = load_settings("smoke", file=folder / "none.toml", home=folder / "data", progress="none")
    run = train_diffumin(with_recommender(settings, max_epochs=4, patience=4), dataset=dataset)
    return settings, dataset, load_recommender(run.run_dir)


def history_of(dataset, student):
    columns = dataset.columns
    start, end = columns["offsets"][student], columns["offsets"][student + 1]
    items = np.asarray(columns["item"][start:end]).astype(np.int64)
    outcomes = [None if one < 0 else dataset.outcomes[one] for one in columns["outcome"][start:end]]
    return History(int(columns["student_key"][student]), items, outcomes, np.unique(items))


def test_a_student_who_is_asked_gets_the_scores_of_a_batch(made):
    _, dataset, trained = made
    scorer = ItemScorer(trained, dataset.catalog)
    candidates = np.arange(len(dataset.catalog))
    with torch.inference_mode():
        batch = trained.encoder(dataset).ask(np.arange(3), candidates)
        expected = trained.model.probabilities(batch).reshape(3, -1).numpy()
    for student in range(3):
        found = scorer.probabilities(history_of(dataset, student), candidates)
        np.testing.assert_allclose(found, expected[student], atol=1e-5)


def test_equal_questions_have_equal_answers_to_the_last_bit_in_any_company(made):
    _, dataset, trained = made
    history, candidates = history_of(dataset, 0), np.arange(len(dataset.catalog))
    first, second = ItemScorer(trained, dataset.catalog), ItemScorer(trained, dataset.catalog)
    whole = first.probabilities(history, candidates)
    assert (second.probabilities(history, candidates) == whole).all()
    some = np.array([7, 3, 40])
    assert (first.probabilities(history, some) == whole[some]).all()


def test_who_does_one_category_is_shown_that_category(made):
    _, dataset, trained = made
    scorer, candidates = ItemScorer(trained, dataset.catalog), candidate_rows(trained, dataset.catalog, 0)
    hits = 0
    for student in range(dataset.num_students):
        history = history_of(dataset, student)
        shown = candidates[~np.isin(candidates, history.met)]
        best = shown[ranked(scorer.probabilities(history, shown), shown, 4)]
        hits += int((best % 4 == history.items[0] % 4).sum())
    assert hits > 0.5 * 4 * dataset.num_students  # 4 of 52 by chance: 0.08


def test_reasons_are_past_behaviors_the_heaviest_first(made):
    _, dataset, trained = made
    scorer, history = ItemScorer(trained, dataset.catalog), history_of(dataset, 1)
    grounds = scorer.grounds(history, 9)
    assert grounds.overall_effect
    reasons = grounds.reasons
    assert 1 <= len(reasons) <= 3
    ids = dataset.catalog["item_id"].to_list()
    for one in reasons:
        assert one.item_id == ids[history.items[len(history.items) - one.steps_back]]
        assert one.channel in {1, 2}
    weights = [abs(one.weight) for one in reasons]
    assert weights == sorted(weights, reverse=True)


def test_a_student_without_a_past_is_answered_without_reasons(made):
    _, dataset, trained = made
    nothing = History(1, np.zeros(0, dtype=np.int64), [], np.zeros(0, dtype=np.int64))
    scorer = ItemScorer(trained, dataset.catalog)
    assert np.isfinite(scorer.probabilities(nothing, np.arange(5))).all()
    assert scorer.grounds(nothing, 0) == Grounds((), None)
    assert scorer.probabilities(nothing, np.zeros(0, dtype=np.int64)).shape == (0,)


def test_only_the_latest_behaviors_are_read(made):
    _, dataset, trained = made
    short = replace(trained, options={**trained.options, "max_length": 3})
    history = history_of(dataset, 2)
    changed = replace(history, items=np.concatenate([(history.items[:-3] + 1) % 64, history.items[-3:]]))
    scorer = ItemScorer(short, dataset.catalog)
    candidates = np.arange(8)
    assert (scorer.probabilities(history, candidates) == scorer.probabilities(changed, candidates)).all()
    assert all(one.steps_back <= 3 for one in scorer.grounds(history, 5).reasons)


def test_candidates_are_the_items_of_training_the_most_popular_first(made):
    _, dataset, trained = made
    popularity = np.asarray(dataset.columns["popularity"])
    rows = candidate_rows(trained, dataset.catalog, 0)
    assert set(rows) == set(np.flatnonzero(popularity > 0))
    assert (np.diff(popularity[rows]) <= 0).all()
    assert (candidate_rows(trained, dataset.catalog, 5) == rows[:5]).all()
    fewer = dataset.catalog[::2]
    assert set(fewer["item_id"][candidate_rows(trained, fewer, 0).tolist()]) <= set(fewer["item_id"])


def test_equal_probabilities_are_ranked_by_row():
    assert ranked(np.array([0.5, 0.9, 0.5]), np.array([8, 1, 2]), 3).tolist() == [1, 2, 0]


def test_a_network_that_draws_anew_cannot_be_asked(made):
    settings, dataset, _ = made
    run = train_diffumin(with_recommender(settings, preset="paper", max_epochs=1), dataset=dataset)
    with pytest.raises(SettingsError, match=r"diffumin\.preset=default"):
        ItemScorer(load_recommender(run.run_dir), dataset.catalog)


def test_a_baseline_has_no_channels_and_so_no_reasons(made):
    settings, dataset, _ = made
    run = train_diffumin(with_recommender(settings, long_term="din", max_epochs=1), dataset=dataset)
    scorer = ItemScorer(load_recommender(run.run_dir), dataset.catalog)
    assert scorer.grounds(history_of(dataset, 0), 3) == Grounds((), None)
