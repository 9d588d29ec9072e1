from __future__ import annotations

import itertools
import json

import impression_data as data
import numpy as np
import polars as pl
import pytest
import torch
from numpy.testing import assert_array_equal

from edpipe.datasets.impressions import SPLITS, read_impression_dataset
from edpipe.datasets.impressions_batches import ImpressionDataModule, ImpressionEncoder, impression_batches
from edpipe.datasets.impressions_features import FeatureMap
from edpipe.datasets.impressions_writer import write_impression_dataset
from edpipe.datasets.vocabulary import TimeScaler
from edpipe.errors import TrainingError


def encoder_of(dataset, **changed):
    options = {"max_length": 1000, "negatives": 2, "seed": 3, **changed}
    return ImpressionEncoder.of(dataset, options.pop("features", dataset.features), **options)


def every_request(dataset):
    return np.arange(dataset.num_requests)


def targets_of(dataset):
    """Return one row a target: student, place within the student, history, split."""
    columns = dataset.columns
    request = np.repeat(every_request(dataset), np.diff(columns["request_offsets"]))
    student = np.asarray(columns["student"])[request]
    return pl.DataFrame(
        {
            "student_key": np.asarray(columns["student_key"])[student],
            "place": np.asarray(columns["position"]) - np.asarray(columns["offsets"])[student],
            "history": np.asarray(columns["history_end"]) - np.asarray(columns["offsets"])[student],
            "request": request,
            "split": pl.Series(SPLITS).gather(np.asarray(columns["split"])[request].astype(np.int64)),
            "item": np.asarray(columns["item"])[columns["position"]] + 101,
        }
    )


def test_the_store_holds_the_behaviors_as_they_were(tmp_path):
    rows = data.behaviors()
    dataset = data.dataset(tmp_path, rows)
    assert_array_equal(np.asarray(dataset.columns["item"]) + 101, rows["catalog_key"])
    assert_array_equal(np.asarray(dataset.columns["outcome"]) + 1, rows["outcome_key"])
    assert_array_equal(dataset.columns["milliseconds"], rows["acted_milliseconds"])
    assert dataset.num_students == 12


def test_every_behavior_is_a_target_or_named_by_the_rule_that_left_it_out(tmp_path):
    rows = data.behaviors()
    for target in ("next_item", "correct"):
        account = data.dataset(tmp_path, rows, target=target, kept=20, min_history=2).account
        assert account["behaviors"] == rows.height
        assert sum(account.values()) == 2 * rows.height
        assert account["short history"] > 0
        assert account["before the kept sequence"] > 0
        assert account["no target"] == rows.height - data.examples(rows, target).height


def test_histories_end_strictly_before_the_time_of_the_target(tmp_path):
    rows = data.behaviors()
    dataset = data.dataset(tmp_path, rows)
    times = dict(rows.group_by("student_key").agg("acted_milliseconds").iter_rows())
    for student, place, history in targets_of(dataset).select("student_key", "place", "history").iter_rows():
        assert history == sum(time < times[student][place] for time in times[student])


def test_targets_of_one_time_share_a_request_and_a_split(tmp_path):
    rows = data.behaviors()
    found = targets_of(data.dataset(tmp_path, rows))
    times = rows.with_columns(place=pl.col("behavior_number").cast(pl.Int64) - 1).select(
        "student_key", "place", "acted_milliseconds"
    )
    timed = found.join(times, on=["student_key", "place"])
    groups = timed.group_by("student_key", "acted_milliseconds").agg(
        pl.col("split").n_unique().alias("splits"), pl.col("request").n_unique().alias("requests"), pl.len()
    )
    assert (groups["splits"] == 1).all()
    assert (groups["requests"] == 1).all()
    assert (groups["len"] > 1).any()


def test_parts_of_the_split_follow_each_other_in_time(tmp_path):
    found = targets_of(data.dataset(tmp_path, data.behaviors(40), valid=0.2, test=0.2))
    number = found.with_columns(part=pl.col("split").replace_strict(list(SPLITS), [0, 1, 2]))
    assert (number.select(pl.col("part").diff().over("student_key") >= 0).to_series().drop_nulls()).all()
    shares = found["split"].value_counts(normalize=True)
    assert dict(shares.iter_rows())["test"] == pytest.approx(0.2, abs=0.06)
    assert (found.group_by("student_key").agg(pl.col("split").first())["split"] == "train").all()


@pytest.mark.parametrize("cuts", [(1, 5), (3, 3, 11)])
def test_equal_rows_have_one_fingerprint_however_they_are_cut(tmp_path, cuts):
    rows = data.behaviors()
    whole = data.dataset(tmp_path / "a", rows)
    cut = write_impression_dataset(
        tmp_path / "b",
        data.pieces(data.sequences(rows), cuts),
        data.pieces(data.examples(rows), cuts),
        catalog=data.catalog(),
        outcomes=data.OUTCOMES,
        options=whole.options,
    )
    assert whole.fingerprint == cut.fingerprint
    assert whole.features == cut.features
    assert data.dataset(tmp_path / "a", rows).folder == whole.folder
    assert [path.name for path in (tmp_path / "a").iterdir()] == [whole.fingerprint]


def test_another_outcome_or_option_changes_the_fingerprint(tmp_path):
    rows = data.behaviors()
    other = rows.with_columns(
        outcome_key=pl.when(pl.int_range(pl.len()) == 7)
        .then((pl.col("outcome_key") + 1) % 4)
        .otherwise("outcome_key")
    )
    prints = {
        data.dataset(tmp_path, rows).fingerprint,
        data.dataset(tmp_path, other).fingerprint,
        data.dataset(tmp_path, rows, min_history=3).fingerprint,
    }
    assert len(prints) == 3


def test_a_batch_shows_each_target_with_its_own_history(tmp_path):
    rows = data.behaviors()
    dataset = data.dataset(tmp_path, rows, target="correct")
    encoder = encoder_of(dataset, max_length=6)
    found = targets_of(dataset)
    batch = encoder.encode(every_request(dataset))
    assert len(batch) == found.height
    item_number = {name: place for place, name in enumerate(dataset.features.item_ids, 2)}
    items = dict(rows.group_by("student_key", maintain_order=True).agg("catalog_key").iter_rows())
    outcomes = dict(rows.group_by("student_key", maintain_order=True).agg("outcome_key").iter_rows())
    for row, (student, place, history, request) in enumerate(
        found.select("student_key", "place", "history", "request").iter_rows()
    ):
        assert batch.requests[row] == request
        start, end = batch.behavior_offsets[request : request + 2].tolist()
        shown = items[student][max(history - 6, 0) : history]
        assert batch.behavior_items[start:end, 0].tolist() == [item_number.get(f"q{one}", 1) for one in shown]
        assert batch.target_items[row, 0] == item_number.get(f"q{items[student][place]}", 1)
        words = [data.OUTCOMES["outcome"][key - 1] if key else "" for key in outcomes[student]]
        known = [dataset.features.outcomes.index(word) + 1 if word else 0 for word in words]
        assert batch.behavior_outcomes[start:end].tolist() == known[max(history - 6, 0) : history]
        assert batch.clicked[row] == (words[place] == "correct")


def test_items_have_their_categories_and_part_even_if_training_has_not_seen_them(tmp_path):
    dataset = data.dataset(tmp_path, num_categories=2)
    features = dataset.features
    assert features.field_names == ("item", "category", "category", "part")
    unseen = pl.DataFrame({"item_id": ["new"], "category_ids": [["c1", "never"]], "part": [3]})
    item, first, second, part = features.items(unseen)[0]
    assert (item, second) == (1, 1)
    assert features.category_ids[first - 2] == "c1"
    assert features.parts[part - 2] == 3
    bare = pl.DataFrame(
        {"item_id": ["new"], "category_ids": [[]], "part": [None]},
        schema={"item_id": pl.String, "category_ids": pl.List(pl.String), "part": pl.Int32},
    )
    assert features.items(bare)[0].tolist() == [1, 0, 0, 0]
    table = features.items(dataset.catalog)
    assert (table.max(axis=0) < features.field_sizes).all()


def test_the_feature_map_sees_training_rows_only(tmp_path):
    rows = data.behaviors(40)
    dataset = data.dataset(tmp_path, rows)
    ends = dict(
        zip(
            np.asarray(dataset.columns["student_key"]).tolist(),
            (np.asarray(dataset.columns["train_end"]) - np.asarray(dataset.columns["offsets"])[:-1]).tolist(),
            strict=True,
        )
    )
    found = targets_of(dataset).filter(pl.col("split") != "train")
    for student, history in found.group_by("student_key").agg(pl.col("history").min()).iter_rows():
        assert ends[student] == history
    # Rows behind that hold only what no training row does: another item, outcome and time.
    number, end = pl.col("behavior_number"), pl.col("student_key").replace_strict(ends)
    foreign = rows.with_columns(
        catalog_key=pl.when(number > end).then(pl.lit(130)).otherwise(pl.col("catalog_key").clip(None, 129)),
        outcome_key=pl.when(number > end).then(3).otherwise(pl.col("outcome_key") % 3),
    )
    made = write_impression_dataset(
        tmp_path,
        [data.sequences(foreign)],
        [data.examples(rows)],
        catalog=data.catalog(),
        outcomes=data.OUTCOMES,
        options=dataset.options,
    )
    features = made.features
    assert "q130" not in features.item_ids
    assert features.outcomes == ("correct", "incorrect")
    popularity = np.asarray(made.columns["popularity"])
    counted = foreign.filter(number <= end)["catalog_key"].value_counts()
    assert popularity.sum() == sum(ends.values())
    assert all(popularity[key - 101] == count for key, count in counted.iter_rows())


@pytest.mark.parametrize("target", ["next_item", "correct"])
def test_nothing_at_or_after_the_time_of_a_target_changes_its_inputs(tmp_path, target):
    rows = data.behaviors(15, seed=4)
    dataset = data.dataset(tmp_path, rows, target=target)
    before = encoder_of(dataset)
    found = targets_of(dataset)
    random = np.random.default_rng(0)
    for request in random.choice(dataset.num_requests, 12, replace=False):
        target_row = found.filter(pl.col("request") == request).row(0, named=True)
        later = (pl.col("student_key") == target_row["student_key"]) & (
            pl.col("behavior_number") > target_row["history"]
        )
        moment = rows.filter(
            pl.col("student_key") == target_row["student_key"],
            pl.col("behavior_number") == target_row["place"] + 1,
        )["acted_milliseconds"][0]
        changed = rows.with_columns(
            acted_milliseconds=pl.col("acted_milliseconds")
            + 5_000 * (later & (pl.col("acted_milliseconds") > moment)).cast(pl.Int64),
            catalog_key=pl.when(later)
            .then((pl.col("catalog_key") - 101 + 7) % 30 + 101)
            .otherwise("catalog_key"),
            outcome_key=pl.when(later).then((pl.col("outcome_key") + 1) % 4).otherwise("outcome_key"),
        )
        other = write_impression_dataset(
            tmp_path,
            [data.sequences(changed)],
            [data.examples(rows, target)],
            catalog=data.catalog(),
            outcomes=data.OUTCOMES,
            options=dataset.options,
        )
        after = encoder_of(other, features=dataset.features)
        one, two = before.encode(np.array([request])), after.encode(np.array([request]))
        assert torch.equal(one.context[:1], two.context[:1])
        for name in ("behavior_items", "behavior_outcomes", "behavior_offsets"):
            assert torch.equal(getattr(one, name), getattr(two, name))


def test_negatives_are_never_met_before_or_after_and_known_to_training(tmp_path):
    rows = data.behaviors(30, seed=2)
    dataset = data.dataset(tmp_path, rows, kept=12)
    encoder = encoder_of(dataset, negatives=3)
    met = {key: set(items) for key, items in rows.group_by("student_key").agg("catalog_key").iter_rows()}
    drawn = encoder.draw(every_request(dataset))
    found = targets_of(dataset)
    negatives = 0
    for target in range(found.height):
        of_target = drawn.items[drawn.targets == target] + 101
        labels = drawn.clicked[drawn.targets == target]
        assert labels[0] == 1
        assert (labels[1:] == 0).all()
        assert of_target[0] == found["item"][target]
        assert len(set(of_target)) == len(of_target)
        assert not met[found["student_key"][target]] & set(of_target[1:].tolist())
        negatives += len(of_target) - 1
    assert negatives == 3 * found.height
    assert (np.asarray(dataset.columns["popularity"])[drawn.items[drawn.clicked == 0]] > 0).all()
    assert (np.diff(drawn.requests) >= 0).all()


def test_draws_depend_on_seed_epoch_and_target_and_not_on_the_batch(tmp_path):
    dataset = data.dataset(tmp_path)
    encoder = encoder_of(dataset)
    every = every_request(dataset)
    whole = encoder.draw(every)
    alone = [encoder.draw(every[at : at + 1]).items for at in every]
    assert_array_equal(np.concatenate(alone), whole.items)
    assert (encoder.draw(every, epoch=1).items != whole.items).any()
    assert (encoder_of(dataset, seed=4).draw(every).items != whole.items).any()


def test_the_context_is_standard_over_training_requests(tmp_path):
    dataset = data.dataset(tmp_path, data.behaviors(80), target="correct")
    context = encoder_of(dataset).encode(dataset.requests("train")).context
    first = np.unique(encoder_of(dataset).draw(dataset.requests("train")).requests, return_index=True)[1]
    assert torch.allclose(context[first].mean(dim=0), torch.zeros(2), atol=0.05)
    assert torch.allclose(context[first].std(dim=0), torch.ones(2), atol=0.05)


def test_a_new_student_is_asked_about_any_item_after_all_that_was_done(tmp_path):
    rows = data.behaviors()
    dataset = data.dataset(tmp_path, rows)
    encoder = encoder_of(dataset, max_length=4)
    batch = encoder.ask(np.array([2, 0]), np.array([5, 6, 7]))
    assert batch.requests.tolist() == [0, 0, 0, 1, 1, 1]
    assert batch.target_items[:3, 0].tolist() == batch.target_items[3:, 0].tolist()
    last = rows.filter(pl.col("student_key") == 30)["catalog_key"].tail(4)
    number = {name: place for place, name in enumerate(dataset.features.item_ids, 2)}
    shown = batch.behavior_items[: batch.behavior_offsets[1], 0]
    assert shown.tolist() == [number.get(f"q{key}", 1) for key in last]
    ends = rows.group_by("student_key", maintain_order=True).agg(pl.col("acted_milliseconds").last())
    now = ends["acted_milliseconds"].gather([2, 0]).to_numpy() + 60_000
    timed = encoder.ask(np.array([2, 0]), np.array([5]), now_milliseconds=now)
    assert timed.context[0, 1] == pytest.approx(
        float(dataset.features.gap(np.array([60.0], dtype=np.float32))[0]), abs=1e-6
    )


def test_training_batches_visit_every_request_once_an_epoch_in_an_order_of_the_seed(tmp_path):
    dataset = data.dataset(tmp_path, data.behaviors(40))
    module = ImpressionDataModule(dataset, max_length=10, negatives=1, batch_size=8, seed=5)
    seen = [sorted(batch.students.tolist()) for batch in module.train_dataloader()]
    again = [sorted(batch.students.tolist()) for batch in module.train_dataloader()]
    assert seen == again
    assert len(seen) == module.batches_per_epoch
    columns = dataset.columns
    assert sorted(itertools.chain.from_iterable(seen)) == sorted(
        np.asarray(columns["student"])[dataset.requests("train")].tolist()
    )
    loader = module.train_dataloader()
    loader.sampler.set_epoch(3)
    fourth = [batch.target_items for batch in loader]
    fresh = ImpressionDataModule(dataset, max_length=10, negatives=1, batch_size=8, seed=5).train_dataloader()
    fresh.sampler.set_epoch(3)  # a training that goes on sees what an unbroken one would
    assert all(
        torch.equal(one, two) for one, two in zip(fourth, [b.target_items for b in fresh], strict=True)
    )
    assert [sorted(batch.students.tolist()) for batch in fresh] != seen


def test_validation_is_the_same_in_every_epoch(tmp_path):
    dataset = data.dataset(tmp_path, data.behaviors(40))
    module = ImpressionDataModule(dataset, max_length=10, negatives=1, batch_size=8, seed=5)
    loader = module.val_dataloader()
    first = [batch.target_items for batch in loader]
    loader.sampler.set_epoch(4)
    assert all(
        torch.equal(one, two) for one, two in zip(first, [b.target_items for b in loader], strict=True)
    )


def test_test_batches_are_in_order_and_say_what_each_row_is(tmp_path):
    dataset = data.dataset(tmp_path, data.behaviors(40))
    rows = [rows for rows, _ in impression_batches(encoder_of(dataset), "test", 4)]
    positives = np.concatenate([one.targets[one.clicked == 1] for one in rows])
    assert_array_equal(positives, np.sort(positives))
    assert len(positives) == dataset.account["test"]


def test_a_feature_map_is_plain_json_and_comes_back(tmp_path):
    features = data.dataset(tmp_path).features
    features.save(tmp_path / "features.json")
    assert FeatureMap.load(tmp_path / "features.json") == features
    assert isinstance(json.loads((tmp_path / "features.json").read_text())["item_ids"], list)
    with pytest.raises(TrainingError, match="feature map"):
        FeatureMap.from_dict({"format": 99})


def test_a_missing_gap_is_zero_and_outcomes_not_trained_on_are_unknown():
    features = FeatureMap((), (), (), ("correct",), 0, TimeScaler(1.0, 2.0), TimeScaler(3.0, 4.0))
    context = features.context(np.array([0, 5]), np.array([np.nan, 10.0]))
    assert context[0, 1] == 0
    assert context[1, 1] == pytest.approx((np.log(11) - 3) / 4)
    assert features.outcome_numbers(["incorrect", "correct"]).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s, e: (s.reverse(), e), "students are not ordered"),
        (lambda s, e: (s, e.reverse()), "targets are not ordered"),
        (lambda s, e: (s, pl.concat([e[:3], e[2:]])), "targets are not ordered"),
        (lambda s, e: (s, e.with_columns(student_key=999)), "key that is not known"),
        (lambda s, e: (s.with_columns(catalog_keys=[7]), e), "key that is not known"),
        (lambda s, e: (s, e.clear()), "no target 'next_item'"),
    ],
)
def test_broken_rows_are_refused_and_nothing_stays(tmp_path, change, message):
    whole = data.dataset(tmp_path / "ok")
    rows = data.behaviors()
    sequences, examples = change(data.sequences(rows), data.examples(rows))
    with pytest.raises(TrainingError, match=message):
        write_impression_dataset(
            tmp_path / "broken",
            [sequences],
            [examples],
            catalog=data.catalog(),
            outcomes=data.OUTCOMES,
            options=whole.options,
        )
    assert list((tmp_path / "broken").iterdir()) == []


def test_an_empty_split_and_a_foreign_folder_are_named(tmp_path):
    rows = data.behaviors().filter(pl.col("behavior_number") <= 2)
    dataset = data.dataset(tmp_path, rows)
    with pytest.raises(TrainingError, match="No target is in the split"):
        ImpressionDataModule(dataset, max_length=8, negatives=1, batch_size=2, seed=0)
    with pytest.raises(TrainingError, match="no dataset"):
        read_impression_dataset(tmp_path)
    (tmp_path / "dataset.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(TrainingError, match="does not read"):
        read_impression_dataset(tmp_path)
