import json

import numpy as np
import polars as pl
import pytest
import tracing_data
from numpy.testing import assert_allclose, assert_array_equal

from edpipe.datasets.columns import ColumnWriter, read_column
from edpipe.datasets.tracing import SPLITS, read_tracing_dataset
from edpipe.datasets.tracing_batches import Encoder, TracingDataModule, window_batches
from edpipe.datasets.tracing_writer import write_tracing_dataset
from edpipe.datasets.vocabulary import TimeMoments, TimeScaler, Vocabulary
from edpipe.errors import TrainingError


def write(folder, frames, steps="questions"):
    return write_tracing_dataset(folder, frames, tracing_data.catalog(), source="test", steps=steps)


def test_a_column_grows_in_pieces_and_is_read_mapped(tmp_path):
    with ColumnWriter(tmp_path / "x.npy", np.int16) as column:
        for piece in ([1, 2], [], [3]):
            column.append(np.array(piece))
    assert_array_equal(read_column(tmp_path / "x.npy"), np.array([1, 2, 3], dtype=np.int16))
    assert isinstance(read_column(tmp_path / "x.npy"), np.memmap)


def test_an_empty_column_is_read_as_empty(tmp_path):
    with ColumnWriter(tmp_path / "x.npy", np.int16):
        pass
    assert read_column(tmp_path / "x.npy").shape == (0,)


@pytest.mark.parametrize("steps", ["questions", "rows"])
def test_the_dataset_holds_the_answers_as_they_were(tmp_path, steps):
    frame = tracing_data.answers(steps=steps)
    dataset = write(tmp_path, [frame], steps)
    number = "interaction_number" if steps == "questions" else "row_number"
    assert_array_equal(dataset.columns["interaction_number"], frame[number])
    assert_array_equal(dataset.columns["is_correct"], frame["is_correct"])
    assert_array_equal(dataset.item_keys[dataset.columns["item"]], frame["item_key"])
    assert dataset.num_students == frame["student_key"].n_unique()
    assert_array_equal(
        np.diff(dataset.offsets), frame.group_by("student_key").len().sort("student_key")["len"]
    )


def test_equal_answers_have_one_fingerprint_however_they_are_cut(tmp_path):
    frame = tracing_data.answers()
    whole = write(tmp_path / "a", [frame])
    pieces = write(tmp_path / "b", [frame[:7], frame[7:7], frame[7:100], frame[100:]])
    assert whole.fingerprint == pieces.fingerprint
    assert_array_equal(whole.offsets, pieces.offsets)
    assert whole.vocabulary.to_dict() == pieces.vocabulary.to_dict()


def test_another_answer_changes_the_fingerprint(tmp_path):
    frame = tracing_data.answers()
    other = frame.with_columns(is_correct=pl.col("is_correct") ^ (pl.int_range(pl.len()) == 3))
    assert write(tmp_path, [frame]).fingerprint != write(tmp_path, [other]).fingerprint


def test_writing_again_keeps_the_dataset_and_leaves_nothing_else(tmp_path):
    first = tracing_data.dataset(tmp_path)
    stamp = (first.folder / "dataset.json").stat().st_mtime_ns
    second = tracing_data.dataset(tmp_path)
    assert (second.folder / "dataset.json").stat().st_mtime_ns == stamp
    assert [path.name for path in tmp_path.iterdir()] == [first.fingerprint]


def test_vocabulary_and_scalers_come_from_training_students_only(tmp_path):
    frame = tracing_data.answers()
    only_valid = frame.with_columns(
        item_key=pl.when((pl.col("item_key") == 5) & (pl.col("split") == "train"))
        .then(pl.lit(6, dtype=pl.Int64))
        .otherwise("item_key"),
        elapsed_seconds=pl.when(pl.col("split") == "train").then(pl.lit(7.0)).otherwise("elapsed_seconds"),
    )
    vocabulary = write(tmp_path, [only_valid]).vocabulary
    assert "q5" not in vocabulary.item_ids
    assert "q6" in vocabulary.item_ids
    assert vocabulary.elapsed.mean == pytest.approx(np.log1p(7.0), abs=1e-6)


def test_unseen_items_are_unknown_with_their_known_kcs(tmp_path):
    dataset = tracing_data.dataset(tmp_path)
    vocabulary = Vocabulary(("q2",), ("k2",), np.zeros((3, 1), dtype=np.int64))
    encoder = Encoder.of(dataset, vocabulary)
    windows = dataset.windows("valid", 10, overlap=False)
    batch, _ = encoder.encode(windows)
    ids = np.array(dataset.item_ids)[dataset.columns["item"][windows[0, 0] : windows[0, 2]]]
    for step, name in enumerate(ids):
        assert batch.items[0, step] == (2 if name == "q2" else 1)
        kcs = dataset.item_kcs[dataset.item_ids.index(name)]
        assert sorted(kc for kc in batch.kcs[0, step].tolist() if kc) == sorted(
            2 if kc == "k2" else 1 for kc in kcs
        )


def test_item_kcs_of_the_vocabulary_follow_its_numbers(tmp_path):
    dataset = tracing_data.dataset(tmp_path)
    vocabulary = dataset.vocabulary
    assert vocabulary.item_kcs.shape[0] == vocabulary.num_items
    for number, name in enumerate(vocabulary.item_ids, 2):
        kcs = dataset.item_kcs[dataset.item_ids.index(name)]
        assert [vocabulary.kc_ids[kc - 2] for kc in vocabulary.item_kcs[number] if kc] == list(kcs)


@pytest.mark.parametrize("steps", ["questions", "rows"])
def test_evaluation_scores_every_step_of_a_split_once(tmp_path, steps):
    dataset = tracing_data.dataset(tmp_path, steps=steps)
    encoder = Encoder.of(dataset, dataset.vocabulary)
    scored = sum(int(mask.sum()) for _, (_, mask) in window_batches(encoder, "valid", 10, 4))
    assert scored == dataset.count_steps("valid")


def test_no_student_crosses_a_split(tmp_path):
    dataset = tracing_data.dataset(tmp_path)
    students = [set(dataset.students(split).tolist()) for split in SPLITS]
    assert sum(map(len, students)) == len(set.union(*students)) == dataset.num_students


def test_rows_are_cut_at_two_hundred_whatever_is_asked(tmp_path):
    frame = pl.DataFrame(
        {
            "student_key": [1] * 450 + [2] * 3,
            "split": ["train"] * 450 + ["valid"] * 3,
            "row_number": [*range(1, 451), 1, 2, 3],
            "item_key": [1] * 453,
            "kc_key": [1] * 452 + [None],
            "is_correct": [True] * 453,
            "is_first_row": [True] * 453,
        }
    )
    dataset = write(tmp_path, [frame], "rows")
    assert dataset.windows("train", 50, overlap=True)[:, [0, 2]].tolist() == [
        [0, 200],
        [200, 400],
        [400, 450],
    ]
    batch, _ = Encoder.of(dataset, dataset.vocabulary).encode(dataset.windows("valid", 50, overlap=True))
    assert batch.kcs[0, :, 0].tolist() == [2, 2, 1]  # a row without a KC has the unknown one


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame.reverse(), "not ordered"),
        (lambda frame: pl.concat([frame[:3], frame[2:]]), "not ordered"),
        (lambda frame: frame.with_columns(item_key=99), "does not have"),
        (lambda frame: frame.with_columns(split=pl.lit("dev")), "unknown name"),
        (
            lambda frame: frame.with_columns(
                split=pl.when(pl.int_range(pl.len()) == 1).then(pl.lit("test")).otherwise("split")
            ),
            "two splits",
        ),
        (lambda frame: frame.clear(), "no example"),
    ],
)
def test_broken_examples_are_refused_and_nothing_stays(tmp_path, change, message):
    with pytest.raises(TrainingError, match=message):
        write(tmp_path, [change(tracing_data.answers())])
    assert list(tmp_path.iterdir()) == []


def test_an_empty_split_is_named(tmp_path):
    dataset = write(tmp_path, [tracing_data.answers().filter(pl.col("split") == "train")])
    with pytest.raises(TrainingError, match="No student is in the split 'valid'"):
        TracingDataModule(dataset, context_length=8, batch_size=2, seed=0)


def test_reading_names_a_missing_or_foreign_dataset(tmp_path):
    with pytest.raises(TrainingError, match="no dataset"):
        read_tracing_dataset(tmp_path)
    (tmp_path / "dataset.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(TrainingError, match="does not read"):
        read_tracing_dataset(tmp_path)


def test_scaled_times_are_standard_and_missing_ones_are_zero():
    seconds = np.array([0.0, 5.0, 60.0, 3600.0, np.nan, -3.0], dtype=np.float32)
    moments = TimeMoments()
    moments.add(seconds[:2])
    moments.add(seconds[2:])
    scaled = moments.scaler()(seconds)
    assert scaled[4] == 0.0
    assert scaled[5] == scaled[0]  # a clock that ran backwards counts as no time
    real = np.delete(scaled, 4)
    assert_allclose([real.mean(), real.std()], [0.0, 1.0], atol=1e-5)
    assert TimeMoments().scaler() == TimeScaler()


def test_vocabulary_round_trips(tmp_path):
    vocabulary = tracing_data.dataset(tmp_path).vocabulary
    again = Vocabulary.from_dict(json.loads(json.dumps(vocabulary.to_dict())))
    assert again.to_dict() == vocabulary.to_dict()
