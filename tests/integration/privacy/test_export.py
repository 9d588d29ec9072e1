"""What leaves the house: pseudonyms, moved times, rare words in one, groups of at least k."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import polars as pl
import pytest

import edpipe
from edpipe.errors import SettingsError
from edpipe.settings import Settings, load_settings

pytestmark = pytest.mark.integration

START = datetime(2024, 3, 4, 10, 17, 29, tzinfo=UTC)
SCHEMA = {
    "source": pl.String,
    "student_key": pl.Int32,
    "student_id": pl.String,
    "interaction_number": pl.Int32,
    "item_id": pl.String,
    "part": pl.Int32,
    "answered_at": pl.Datetime("us", "UTC"),
    "elapsed_seconds": pl.Float64,
    "is_correct": pl.Boolean,
    "session_id": pl.Int64,
    "source_row": pl.Int32,
}


def published(settings: Settings) -> pl.DataFrame:
    """Publish interactions of twelve students; `odd` is an item of two, `even` of all, `few` of five."""
    rows = []
    for student in range(12):
        items = ["even", "common"] + ["odd"] * (student < 2) + ["few"] * (student < 5)
        for number, item in enumerate(items):
            when = START + timedelta(days=student, hours=number)
            rows.append(
                (
                    "ednet",
                    student,
                    f"u{student}",
                    number,
                    item,
                    1,
                    when,
                    12.4,
                    number % 2 == 0,
                    student,
                    number,
                )
            )
    frame = pl.DataFrame(rows, schema=SCHEMA, orient="row")
    kcs = frame.select("source", "student_id", "is_correct", kc_id=pl.lit("kc"))
    settings.home.mkdir(parents=True, exist_ok=True)
    interactions, interaction_kcs = frame.to_arrow(), kcs.to_arrow()
    with duckdb.connect(str(settings.published_path)) as connection:
        connection.register("interactions", interactions)
        connection.register("interaction_kcs", interaction_kcs)
        connection.execute("CREATE SCHEMA core; CREATE SCHEMA meta")
        connection.execute("CREATE TABLE core.interactions AS FROM interactions")
        connection.execute("CREATE TABLE core.interaction_kcs AS FROM interaction_kcs")
        connection.execute(
            "CREATE TABLE core.students AS "
            "SELECT DISTINCT source, student_key, student_id FROM core.interactions"
        )
        connection.execute(
            "CREATE TABLE core.keyed AS SELECT source, student_key, item_id FROM core.interactions"
        )
        connection.execute("CREATE TABLE core.items AS SELECT DISTINCT item_id FROM core.interactions")
        connection.execute(
            "CREATE TABLE meta.columns AS SELECT 'core.' || table_name AS relation, column_name "
            "FROM duckdb_columns() WHERE schema_name = 'core'"
        )
        connection.execute(
            "CREATE TABLE meta.relations AS SELECT DISTINCT relation, 1 AS num_rows FROM meta.columns"
        )
    return frame


@pytest.fixture
def original(settings) -> pl.DataFrame:
    return published(settings)


@pytest.fixture
def key_file(tmp_path) -> Path:
    path = tmp_path / "key"
    path.write_text("a secret of the tests")
    path.chmod(0o600)
    return path


def test_rows_keep_what_they_tell_and_lose_who_told_it(settings, original, key_file, tmp_path):
    edpipe.export(tmp_path / "out", settings, anonymize=True, k=5, key_file=key_file)
    rows = pl.read_parquet(tmp_path / "out" / "core.interactions.parquet")
    assert rows.height == original.height
    assert {"student_key", "source_row"}.isdisjoint(rows.columns)
    assert rows["student_id"].n_unique() == 12
    assert rows["student_id"].str.len_chars().unique().to_list() == [32]
    together = pl.concat([original, rows.select(pl.all().name.suffix("_out"))], how="horizontal")
    names = together.group_by("student_id").agg(pl.col("student_id_out").n_unique())
    assert names["student_id_out"].max() == 1
    assert together["is_correct"].equals(together["is_correct_out"].rename("is_correct"))
    moved = together.select(
        "student_id", by=pl.col("answered_at_out") - pl.col("answered_at").dt.truncate("1h")
    )
    assert moved.group_by("student_id").agg(pl.col("by").n_unique())["by"].max() == 1
    assert all(by % timedelta(weeks=1) == timedelta(0) for by in moved["by"])
    assert max(abs(by) for by in moved["by"]) <= timedelta(weeks=26)
    assert moved["by"].n_unique() > 3
    assert rows["elapsed_seconds"].unique().to_list() == [12.0]
    # The item of two students hides behind that of five: alone, the word would mean these two.
    assert rows.filter(pl.col("item_id") == "rare").height == 7
    assert set(rows["item_id"]) == {"rare", "even", "common"}
    texts = (path.read_bytes() for path in (tmp_path / "out").iterdir() if path.suffix == ".parquet")
    assert not any(b"u11" in text or b"odd" in text for text in texts)


def test_the_same_key_gives_the_same_pseudonyms_and_another_gives_others(
    settings, original, key_file, tmp_path
):
    def pseudonyms(name: str, **options: object) -> list[str]:
        edpipe.export(tmp_path / name, settings, anonymize=True, **options)
        return pl.read_parquet(tmp_path / name / "core.interactions.parquet")["student_id"].to_list()

    given = pseudonyms("a", key_file=key_file)
    assert pseudonyms("b", key_file=key_file) == given
    own = pseudonyms("c")
    assert pseudonyms("d") == own
    assert set(own).isdisjoint(given)
    kept = settings.home / "privacy" / "export.key"
    assert kept.stat().st_mode & 0o077 == 0


def test_a_key_of_the_environment_is_taken(settings, original, tmp_path, monkeypatch):
    monkeypatch.setenv("EDPIPE_EXPORT_KEY", "x" * 32)
    edpipe.export(tmp_path / "out", settings, anonymize=True)
    assert not (settings.home / "privacy").exists()
    assert load_settings("smoke", file=tmp_path / "none.toml").preset == "smoke"
    monkeypatch.setenv("EDPIPE_EXPORT_KEY", "short")
    with pytest.raises(SettingsError, match="too short"):
        edpipe.export(tmp_path / "out2", settings, anonymize=True)


def test_aggregates_hide_groups_of_fewer_than_k_and_their_difference_from_the_total(
    settings, original, tmp_path
):
    edpipe.export(tmp_path / "out", settings, anonymize=True, k=5)
    by_item = pl.read_parquet(tmp_path / "out" / "by_item.parquet")
    # `few` has five students, but beside the total it would give `odd` away.
    assert set(by_item["value"]) == {"total", "even", "common"}
    total = by_item.filter(pl.col("value") == "total").row(0, named=True)
    assert total["num_interactions"] == original.height
    assert total["num_students"] == 12
    even = by_item.filter(pl.col("value") == "even").row(0, named=True)
    assert (even["num_students"], even["num_interactions"], even["num_correct"]) == (12, 12, 12)
    strict = tmp_path / "strict"
    edpipe.export(strict, settings, anonymize=True, k=13)
    assert pl.read_parquet(strict / "by_item.parquet").height == 0
    readme = (tmp_path / "out" / "README.md").read_text()
    assert "| by_item.parquet | 3 | 2 | 2 |" in readme


def test_relations_that_know_students_by_number_only_get_pseudonyms_too(
    settings, original, key_file, tmp_path
):
    relations = ("core.keyed", "core.interactions")
    edpipe.export(tmp_path / "out", settings, anonymize=True, relations=relations, key_file=key_file)
    keyed = pl.read_parquet(tmp_path / "out" / "core.keyed.parquet")
    rows = pl.read_parquet(tmp_path / "out" / "core.interactions.parquet")
    assert "student_key" not in keyed.columns
    assert sorted(keyed["student_id"]) == sorted(rows["student_id"])


def test_what_is_not_anonymous_is_refused_and_leaves_nothing(settings, original, key_file, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(SettingsError, match="not exported"):
        edpipe.export(out, settings)
    with pytest.raises(SettingsError, match="not exported"):
        edpipe.export(out, settings, anonymize=True, k=1)
    with pytest.raises(SettingsError, match="no published relation with students"):
        edpipe.export(out, settings, anonymize=True, relations=("core.items",))
    key_file.chmod(0o644)
    with pytest.raises(SettingsError, match="Others can read"):
        edpipe.export(out, settings, anonymize=True, key_file=key_file)
    edpipe.export(out, settings, anonymize=True, dry_run=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "key"]
