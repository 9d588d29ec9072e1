"""Scores are kept whole or not at all, and not made twice."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import polars as pl
import pytest

from edpipe.errors import ContractError
from edpipe.prediction.scoring import ScoredTable, kc_mastery_path, score_kc_mastery, scored_with


def frame(*mastery: float | None, student: str = "u1") -> pl.DataFrame:
    return pl.DataFrame(
        {
            "student_id": [student] * len(mastery),
            "source": ["ednet"] * len(mastery),
            "kc_id": [str(number) for number in range(len(mastery))],
            "mastery": list(mastery),
            "num_opportunities": [3] * len(mastery),
        },
        schema_overrides={"mastery": pl.Float64},
    )


def never() -> Iterator[pl.DataFrame]:
    raise AssertionError("scores were computed though nothing had changed")
    yield


def test_frames_are_written_in_order_with_model_and_time(settings):
    path = score_kc_mastery(settings, iter([frame(0.2, 0.9), frame(0.5, student="u2")]), "tracing", 3)
    assert path == settings.predictions_dir / "kc_mastery" / "part-0.parquet"
    written = pl.read_parquet(path)
    assert written.columns == [
        "student_id",
        "source",
        "kc_id",
        "mastery",
        "num_opportunities",
        "model_name",
        "model_version",
        "scored_at",
    ]
    assert written["mastery"].to_list() == [0.2, 0.9, 0.5]
    assert written["student_id"].to_list() == ["u1", "u1", "u2"]
    assert written["model_version"].unique().to_list() == [3]
    (scored_at,) = written["scored_at"].unique()
    assert abs((datetime.now(UTC) - scored_at).total_seconds()) < 60
    assert written.schema["scored_at"] == pl.Datetime("us", "UTC")


def test_the_same_version_and_data_are_not_scored_twice(settings):
    path = score_kc_mastery(settings, [frame(0.2)], "tracing", 3, data_fingerprint="data1")
    before = path.stat().st_mtime_ns
    assert score_kc_mastery(settings, never(), "tracing", 3, data_fingerprint="data1") == path
    assert path.stat().st_mtime_ns == before
    assert scored_with(settings) == ScoredTable("tracing", 3, "data1")


@pytest.mark.parametrize(("version", "fingerprint"), [(4, "data1"), (3, "data2"), (3, "")])
def test_another_version_or_other_data_replace_the_scores(settings, version, fingerprint):
    score_kc_mastery(settings, [frame(0.2)], "tracing", 3, data_fingerprint="data1")
    path = score_kc_mastery(settings, [frame(0.7)], "tracing", version, data_fingerprint=fingerprint)
    assert pl.read_parquet(path)["mastery"].to_list() == [0.7]


def test_a_killed_scoring_leaves_the_earlier_scores_and_no_rubbish(settings):
    def killed() -> Iterator[pl.DataFrame]:
        yield frame(0.9)
        raise KeyboardInterrupt

    path = score_kc_mastery(settings, [frame(0.2)], "tracing", 3, data_fingerprint="data1")
    with pytest.raises(KeyboardInterrupt):
        score_kc_mastery(settings, killed(), "tracing", 4, data_fingerprint="data1")
    assert pl.read_parquet(path)["mastery"].to_list() == [0.2]
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("mastery", [1.5, -0.1, float("nan"), None])
def test_what_is_no_mastery_is_refused(settings, mastery):
    with pytest.raises(ContractError, match="cannot be kept"):
        score_kc_mastery(settings, [frame(0.5, mastery)], "tracing", 3)
    assert not kc_mastery_path(settings).exists()


def test_missing_columns_and_missing_keys_are_refused(settings):
    with pytest.raises(ContractError, match="lack `kc_id`"):
        score_kc_mastery(settings, [frame(0.5).drop("kc_id")], "tracing", 3)
    with pytest.raises(ContractError, match="cannot be kept"):
        score_kc_mastery(settings, [frame(0.5).with_columns(kc_id=pl.lit(None))], "tracing", 3)


def test_no_students_give_an_empty_table(settings):
    path = score_kc_mastery(settings, [], "tracing", 3)
    assert len(pl.read_parquet(path)) == 0
    assert scored_with(settings) == ScoredTable("tracing", 3, "")
