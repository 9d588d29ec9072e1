"""``ops.runs`` as SQL sees it: live, published, and before anything has been published."""

from __future__ import annotations

import duckdb
import polars as pl
import pytest
from typer.testing import CliRunner

import edpipe
from edpipe.cli import app
from edpipe.errors import ContractError, SourceError
from edpipe.operations.run_table import COLUMNS
from edpipe.settings import Settings, load_settings
from edpipe.sources.synthetic import write_ednet

# SQLMesh 0.236 defines its models in a way that Pydantic 2.13 and later announce to remove.
pytestmark = [
    pytest.mark.slow,  # half a minute; the lines that a demo leaves are tested in test_pipeline.py
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore:.json_encoders. is deprecated"),
]

RUNS = "select step, outcome from ops.runs order by started_at"


@pytest.fixture(scope="module")
def used(tmp_path_factory) -> Settings:
    """A home where things were tried: a build of nothing, a good one, and one more of the same."""
    home = tmp_path_factory.mktemp("used")
    settings = load_settings("smoke", file=home / "edpipe.toml", home=home / "data", progress="none")
    settings.home.mkdir()
    with pytest.raises(SourceError):
        edpipe.build(settings)
    write_ednet(home / "archives", num_students=30, num_items=40)
    edpipe.ingest("ednet", [home / "archives"], settings)
    edpipe.ingest("ednet", [home / "archives"], settings)
    edpipe.build(settings)
    edpipe.build(settings)
    with pytest.raises(SourceError):
        edpipe.ingest("kddcup", [home / "absent"], settings)
    return settings


def test_every_run_is_one_line_in_sql_those_after_the_last_publication_too(used):
    assert edpipe.sql(RUNS, used).rows() == [
        ("build", "failed"),
        ("ingest", "succeeded"),
        ("ingest", "skipped"),
        ("build", "succeeded"),
        ("build", "skipped"),
        ("ingest", "failed"),
    ]


def test_runs_stand_beside_the_published_tables_in_one_query(used):
    rows = edpipe.sql(
        "select r.rows_in, i.n from ops.runs as r, (select count(*) as n from core.interactions) as i "
        "where r.step = 'ingest' and r.outcome = 'succeeded'",
        used,
    ).row(0, named=True)
    assert rows["rows_in"] > 0
    assert rows["n"] > 0


def test_rows_and_references_are_those_of_the_steps(used):
    runs = edpipe.runs(used).sort("started_at").to_dicts()
    ingested, built = runs[1], runs[3]
    landed = edpipe.status(used).raw
    assert ingested["source"] == "ednet"
    assert ingested["rows_out"] == built["rows_in"] == sum(landed.values())
    assert ingested["rows_in"] >= ingested["rows_out"]
    assert any(one.endswith("archives/EdNet-KT1.zip") for one in ingested["inputs"])
    assert sorted(ingested["outputs"]) == sorted(built["inputs"])
    assert built["outputs"][0] == str(used.published_path)
    assert built["peak_memory_mib"] > 50


def test_the_published_file_holds_the_runs_until_then_with_their_meaning(used):
    with duckdb.connect(str(used.published_path), read_only=True) as connection:
        kept = connection.execute(RUNS).fetchall()
        comments = dict(
            connection.execute(
                "select column_name, comment from duckdb_columns() "
                "where schema_name = 'ops' and table_name = 'runs'"
            ).fetchall()
        )
    assert kept == [("build", "failed"), ("ingest", "succeeded"), ("ingest", "skipped"), ("build", "running")]
    assert comments == {name: text for name, (_, text) in COLUMNS.items()}
    assert edpipe.status(used).relations["ops.runs"] == 4


def test_show_tells_what_the_columns_mean_and_the_latest_runs(used):
    info = edpipe.show("ops.runs", used)
    assert {one.name: (one.type, one.description) for one in info.columns} == COLUMNS
    assert info.num_rows == 6
    assert info.sample["source"][0] == "kddcup"
    types = edpipe.sql("describe ops.runs", used)
    assert dict(types.select("column_name", "column_type").rows()) == {
        name: kind for name, (kind, _) in COLUMNS.items()
    }


@pytest.mark.parametrize(
    "query",
    [
        "create table ops.runs as select 1",
        "select * from ops.runs, read_csv('/etc/hostname')",
        "attach '/tmp/x.duckdb' as ops",
    ],
)
def test_a_query_about_runs_writes_and_reads_nothing_else(query, used):
    with pytest.raises(ContractError):
        edpipe.sql(query, used)


def test_runs_can_be_asked_before_anything_was_published(settings):
    settings.home.mkdir()
    with pytest.raises(SourceError):
        edpipe.build(settings)
    assert edpipe.sql(RUNS, settings).rows() == [("build", "failed")]
    assert edpipe.show("ops.runs", settings).num_rows == 1
    with pytest.raises(ContractError):
        edpipe.sql("select * from ops.runs, core.items", settings)


def test_the_command_lists_runs_and_status_says_what_to_do(used):
    flags = ["--home", str(used.home), "--progress", "none"]
    listed = CliRunner().invoke(app, [*flags, "runs", "--failed", "--limit", "1", "--format", "csv"])
    (row,) = pl.read_csv(listed.stdout.encode()).to_dicts()
    assert (row["step"], row["outcome"], row["error_class"]) == ("ingest", "failed", "SourceError")
    told = CliRunner().invoke(app, [*flags, "status"]).stderr
    assert "Last run: ingest kddcup" in told
    assert "Not made good: ingest kddcup" in told
    assert row["next_step"] in told
    # The first build failed, a later one did not.
    assert "Not made good: build" not in told
