"""Students in what a predictor of strategies remembers, and words that mean more than a student."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from edpipe.forgotten import Student
from edpipe.mastery.embedding import Embedding, load_embedding
from edpipe.prediction.known import Known
from edpipe.privacy.needles import Needles
from edpipe.privacy.scrub import scrub

GONE = Student("kddcup", "algebra/stu_b")


@pytest.fixture
def run(settings) -> Path:
    """A run whose predictor knows three students, and the embedding in its codes."""
    known = Known(
        source="kddcup",
        student_ids=("algebra/stu_a", "algebra/stu_b", "algebra/stu_c"),
        section_ids=("s",),
        problem_ids=("p", "q"),
        kc_ids=("k", "l"),
        problem_section=np.zeros(2, dtype=np.int32),
        attempts=pl.DataFrame({"student": [0, 1, 1, 2], "section": [0] * 4, "problem": [0, 0, 1, 1]}).cast(
            pl.Int32
        ),
        answers=pl.DataFrame(
            {
                "attempt": [0, 1, 2, 3, 3],
                "kc": [0, 0, 1, 0, 1],
                "num_steps": [1, 2, 3, 4, 5],
                "num_scored": [1, 2, 3, 4, 5],
                "num_correct": [0, 1, 2, 3, 4],
            }
        ).cast(pl.Int32),
    )
    folder = settings.runs_dir / "abc"
    known.save(folder / "known")
    (folder / "run.json").write_text(json.dumps({"data": {"embedding_key": "key"}}))
    Embedding(
        students=np.ones((3, 4), dtype=np.float32),
        problems=np.ones((2, 4), dtype=np.float32),
        sections=np.ones((1, 4), dtype=np.float32),
        kcs=np.ones((2, 4), dtype=np.float32),
        mastery=pl.DataFrame(
            {"student": [0, 1, 2], "kc": [0, 0, 1], "mastery": [0.1, 0.2, 0.3], "num_scored": [1, 2, 3]},
            schema={"student": pl.Int32, "kc": pl.Int32, "mastery": pl.Float64, "num_scored": pl.Int64},
        ),
        kc_mean=np.ones(2),
    ).save(settings.embeddings_dir / "key")
    return folder


def assert_forgotten(run: Path, settings) -> None:
    known = Known.load(run / "known")
    assert known.student_ids == ("algebra/stu_a", "", "algebra/stu_c")
    assert known.attempts["student"].to_list() == [0, 2]
    # Attempts are named by their place, which moved up.
    assert known.answers.select("attempt", "num_steps").rows() == [(0, 1), (1, 4), (1, 5)]
    assert known.answers.schema["attempt"] == pl.Int32
    embedding = load_embedding(settings.embeddings_dir / "key")
    assert embedding.students.any(axis=1).tolist() == [True, False, True]
    assert embedding.mastery["student"].to_list() == [0, 2]
    assert sorted(path.name for path in run.iterdir()) == ["known", "run.json"]


def test_a_predictor_has_never_met_the_student(settings, run):
    scrub(settings, [GONE], Needles.of([GONE]))
    assert_forgotten(run, settings)
    assert scrub(settings, [GONE], Needles.of([GONE])) == []


@pytest.mark.parametrize("step", range(12))
def test_a_scrubbing_that_is_cut_off_anywhere_is_ended_by_the_next(settings, run, step, monkeypatch):
    left = [step]

    def counted(original):
        def limited(self, *arguments):
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1
            return original(self, *arguments)

        return limited

    with monkeypatch.context() as patch:
        for name in ("replace", "rename", "rmdir"):
            patch.setattr(Path, name, counted(getattr(Path, name)))
        try:
            scrub(settings, [GONE], Needles.of([GONE]))
        except KeyboardInterrupt:
            assert not left[0]
    scrub(settings, [GONE], Needles.of([GONE]))
    assert_forgotten(run, settings)


def test_an_id_that_an_item_has_too_is_a_student_only_where_students_stand():
    clicked = Student("clicks", "log:5")
    needles = Needles.of([clicked], items={"log:5"})
    assert needles.named_in({"student_ids": ["log:5"]}) == 1
    assert needles.named_in({"item_ids": ["log:5"], "log:5": 1}) == 0
    assert needles.pattern_of("item_id") is None
    assert not needles.in_text("log:5")
    assert needles.raw is None


@pytest.mark.parametrize(
    ("text", "is_found"),
    [
        ("u12", True),
        ("KT1/u12.csv", True),
        ('"u12"', True),
        ("u123", False),
        ("xu12", False),
        ("u12_a", False),
    ],
)
def test_an_id_is_found_as_a_whole_word_only(text, is_found):
    assert Needles.of([Student("ednet", "u12")]).in_text(text) is is_found
