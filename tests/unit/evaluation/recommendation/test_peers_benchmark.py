"""The benchmark beside FuxiCTR: both sides see the same rows, and a difference is one."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from recommender_data import faithful_dataset

from edpipe.datasets.impressions_batches import ImpressionDataModule, ImpressionEncoder, impression_batches

BENCHMARKS = Path(__file__).resolve().parents[4] / "benchmarks"
SIZES = {
    "field_size": 4,
    "mlp_sizes": [16],
    "attention_sizes": [8],
    "num_heads": 2,
    "short_term_window": 4,
    "num_retrieved": 5,
    "num_hash_bits": 8,
    "hash_group_bits": 2,
}
LENGTH = 6


@pytest.fixture(scope="module")
def bench():
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import diffumin_peers

        yield diffumin_peers
    finally:
        sys.path.remove(str(BENCHMARKS))


@pytest.fixture(scope="module")
def rows(bench):
    from peers import click_rows

    return click_rows


@pytest.fixture(scope="module")
def encoder(tmp_path_factory, rows):
    dataset = rows.items_alone(faithful_dataset(tmp_path_factory.mktemp("data")))
    return ImpressionEncoder.of(dataset, dataset.features, max_length=LENGTH, negatives=1, seed=5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, rows, encoder):
    found = tmp_path_factory.mktemp("rows")
    rows.export_rows(encoder, found, num_epochs=3, batch_size=16, sizes=SIZES)
    return found


def test_rows_come_back_with_the_negatives_of_their_epoch(rows, encoder, folder):
    for part, split, epoch in [("train_0", "train", 1), ("train_1", "train", 2), ("test", "test", 0)]:
        expected = rows.drawn(encoder, split, epoch).select(rows.ROW)
        assert rows.read_rows(folder, part).select(rows.ROW).equals(expected)
    first, second = (rows.read_rows(folder, f"train_{epoch}") for epoch in (0, 1))
    assert first.filter("clicked").equals(second.filter("clicked"))
    assert (first["item"] != second["item"]).sum() > len(first) / 4


def test_training_of_edpipe_draws_the_negatives_that_were_written(rows, encoder, folder):
    data = ImpressionDataModule(
        encoder.dataset, max_length=LENGTH, negatives=1, batch_size=16, seed=encoder.seed
    )
    shown = np.concatenate([batch.target_items.numpy() for batch in data.train_dataloader()])
    written = encoder.item_fields[rows.read_rows(folder, "train_0")["item"].to_numpy()]
    assert sorted(map(tuple, shown.tolist())) == sorted(map(tuple, written.tolist()))


def test_files_hold_the_fields_and_histories_that_a_batch_holds(rows, encoder, folder):
    fields = pl.read_parquet(folder / "items.parquet").drop("item_index").to_numpy()
    sequences = pl.read_parquet(folder / "students.parquet")["full_item_seq"].to_list()
    assert not fields[0].any()
    found = rows.read_rows(folder, "valid")
    start = 0
    for drawn, batch in impression_batches(encoder, "valid", 7):
        offsets = batch.behavior_offsets.tolist()
        for place, request in enumerate(drawn.requests.tolist()):
            row = found.row(start + place, named=True)
            np.testing.assert_array_equal(fields[row["item"] + 1], batch.target_items[place])
            known = sequences[row["student"]][: row["history"]][-LENGTH:]
            expected = batch.behavior_items[offsets[request] : offsets[request + 1]]
            np.testing.assert_array_equal(fields[known], expected)
        start += len(drawn.requests)
    assert start == len(found)


def test_rows_are_apart_and_the_longest_history_is_last(folder):
    for part in ("train_0", "valid", "test"):
        table = pl.read_parquet(folder / f"{part}.parquet")
        places = table["row"].to_numpy()
        assert sorted(places) == list(range(len(table)))
        assert (np.diff(places) == 1).mean() < 0.2
        assert table["seq_len"][-1] == table["seq_len"].max()


def test_batches_are_as_many_as_those_of_requests(encoder, folder):
    described = json.loads((folder / "rows.json").read_text())
    num_rows = len(pl.read_parquet(folder / "train_0.parquet"))
    batches = -(-len(encoder.dataset.requests("train")) // 16)
    assert -(-num_rows // described["batch_rows"]) == batches


def test_a_network_is_told_of_items_alone(encoder):
    assert encoder.features.num_outcomes == 1
    for _, batch in impression_batches(encoder, "train", 64):
        assert not batch.context.any()
        assert not batch.behavior_outcomes.any()


def test_differences_are_of_the_same_students(bench, rows, folder):
    tables = {part: rows.read_rows(folder, part) for part in ("valid", "test")}
    random = np.random.default_rng(0)
    noise = {part: random.uniform(0.3, 0.7, len(table)) for part, table in tables.items()}
    knows = {part: 0.5 * noise[part] + 0.5 * table["clicked"].to_numpy() for part, table in tables.items()}

    def differences(ours, theirs):
        sides = {
            "edpipe": bench.Trained(ours, 1.0, 10, 0.1),
            "FuxiCTR": bench.Trained(theirs, 1.0, 10, 0.1),
        }
        found = pl.DataFrame(list(bench.compared(tables, sides)))
        return found.filter(side="edpipe - FuxiCTR", metric="auc", split="test", rows="all").row(
            0, named=True
        )

    same = differences(noise, noise)
    assert same["value"] == same["low"] == same["high"] == 0
    better = differences(knows, noise)
    assert 0.2 < better["low"] <= better["value"] <= better["high"]
    assert differences(noise, knows)["value"] == -better["value"]


def test_later_seeds_take_the_rate_of_the_first(bench, tmp_path):
    key = {"data": "d", "length": 6, "epochs": 3, "model": "twin", "seed": 1}
    row = {**dict.fromkeys(bench.SCHEMA), **key, "side": "edpipe", "split": "test", "rows": "all"}
    row |= {"metric": "auc", "value": 0.5, "learning_rate": 0.02, "rates": "0.01 0.02"}
    file = tmp_path / "results" / "found.csv"
    bench.write(file, pl.DataFrame([row], schema=bench.SCHEMA))
    table = bench.old_results(file)
    later = {**key, "seed": 2}
    assert bench.chosen_rates(table, later, "edpipe", [0.01, 0.02]) == [0.02]
    assert bench.chosen_rates(table, key, "edpipe", [0.01, 0.02]) == [0.01, 0.02]
    assert bench.chosen_rates(table, later, "FuxiCTR", [0.01, 0.02]) == [0.01, 0.02]
    assert bench.chosen_rates(table, later, "edpipe", [0.01, 0.03]) == [0.01, 0.03]


def test_our_side_answers_the_rows_that_were_written(bench, encoder, tmp_path):
    given = argparse.Namespace(
        home=tmp_path, work=tmp_path / "work", source="ednet", length=LENGTH, epochs=1, fuxictr_python=""
    )
    one = bench.Bench(given, encoder.dataset, 5)
    trained = one.ours("twin", 0.01)
    for part in ("valid", "test"):
        assert trained.probability[part].shape == (len(one.rows[part]),)
    assert np.array_equal(one.ours("twin", 0.01).probability["test"], trained.probability["test"])


@pytest.mark.parametrize("model", ["DIN", "SIM", "ETA", "SDIM", "TWIN"])
def test_fuxictr_learns_from_the_rows_and_answers_in_their_order(bench, rows, folder, tmp_path, model):
    pytest.importorskip("fuxictr", reason="the extra `peers-ctr` is not installed")
    output = tmp_path / "said.npz"
    command = [sys.executable, str(BENCHMARKS / "peers" / "fuxictr_side.py"), "train", "--rows", str(folder)]
    command += ["--model", model, "--rate", "0.03", "--seed", "2", "--output", str(output)]
    subprocess.run(command, check=True, capture_output=True, timeout=200)
    trained = bench.Trained.read(output, 0.03)
    scores = bench.scored(rows.read_rows(folder, "test"), trained.probability["test"], num_draws=0)
    # Chance is 0.5: a student's items are all of one category.
    assert scores.values["auc"] > 0.7
