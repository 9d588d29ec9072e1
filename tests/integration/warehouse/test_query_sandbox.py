"""SQL of people who want more than the published tables: it reads those, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import duckdb
import polars as pl
import pytest

from edpipe import warehouse
from edpipe.errors import ContractError
from edpipe.settings import Settings

pytestmark = pytest.mark.integration

SECRET = "nobody-may-read-this"


@pytest.fixture
def published(settings: Settings) -> Settings:
    """A published file with one table, and secrets around it."""
    settings.home.mkdir(parents=True)
    with duckdb.connect(str(settings.published_path)) as connection:
        connection.execute("CREATE SCHEMA core")
        connection.execute(
            "CREATE TABLE core.items AS SELECT range AS item_key, 'i' || range AS item_id FROM range(1000)"
        )
    with duckdb.connect(str(settings.home / "other.duckdb")) as connection:
        connection.execute(f"CREATE TABLE secret AS SELECT '{SECRET}' AS secret")
    (settings.home / "secret.txt").write_text(SECRET)
    pl.DataFrame({"secret": [SECRET]}).write_csv(settings.home / "secret.csv")
    pl.DataFrame({"secret": [SECRET]}).write_parquet(settings.home / "secret.parquet")
    return settings


def with_limits(settings: Settings, **limits: float) -> Settings:
    return settings.model_copy(update={"query": settings.query.model_copy(update=limits)})


ESCAPES = [
    "select * from read_text('{home}/secret.txt')",
    "select * from read_blob('{home}/secret.txt')",
    "select * from read_csv('{home}/secret.csv')",
    "select * from '{home}/secret.csv'",
    "select * from read_parquet('{home}/secret.parquet')",
    "select * from '{home}/secret.parquet'",
    "select * from read_json('{home}/secret.txt')",
    "select * from read_duckdb('{home}/other.duckdb', table_name = 'secret')",
    "select * from sniff_csv('{home}/secret.csv')",
    "select * from parquet_metadata('{home}/secret.parquet')",
    "select * from glob('{home}/*')",
    "select * from read_text('/etc/passwd')",
    "select * from read_csv('http://127.0.0.1:9/x.csv')",
    "select * from query('select * from read_text(''{home}/secret.txt'')')",
    "select * from query_table('{home}/secret.csv')",
    "select getenv('HOME')",
    "select * from secrets_in_python",
    "select * from duckdb_secrets()",
    "explain analyze copy core.items to '{home}/out.csv'",
    "explain analyze insert into core.items values (1, 'x')",
    "copy core.items to '{home}/out.csv'",
    "copy (select 1) to '{home}/out.parquet' (format parquet)",
    "export database '{home}/out'",
    "attach '{home}/other.duckdb' as other",
    "attach '{home}/out.duckdb' as other",
    "install httpfs",
    "load httpfs",
    "set enable_external_access = true",
    "set lock_configuration = false",
    "set memory_limit = '100GB'",
    "reset memory_limit",
    "pragma memory_limit = '100GB'",
    "call pragma_version()",
    "create table core.mine as select 1",
    "create secret s (type s3)",
    "delete from core.items",
    "drop table core.items",
    "begin transaction",
    "checkpoint",
    "use memory",
    "prepare p as select 1",
    "select 1; select 2",
    "select 1; copy core.items to '{home}/out.csv'",
    "select 1 -- a comment\n; drop table core.items",
    "",
    ";",
]


@pytest.mark.parametrize("attempt", ESCAPES)
def test_an_attempt_to_break_out_is_refused_and_leaves_no_trace(published, attempt):
    secrets_in_python = pl.DataFrame({"secret": [SECRET]})
    before = {path: path.read_bytes() for path in published.home.rglob("*") if path.is_file()}
    with pytest.raises(ContractError) as refused:
        warehouse.query(published, attempt.format(home=published.home))
    assert refused.value.next_step
    assert SECRET not in str(refused.value)
    assert {path: path.read_bytes() for path in published.home.rglob("*") if path.is_file()} == before
    assert secrets_in_python.height == 1


@pytest.mark.parametrize(
    "asked",
    [
        "select count(*) as n from core.items",
        "from core.items select count(*) as n",
        "with a as (select * from core.items) select count(*) as n from a",
        "select * from query('select count(*) as n from core.items')",
        "select count(*) as n from core.items order by random();",
    ],
)
def test_whatever_reads_the_published_tables_is_answered(published, asked):
    assert warehouse.query(published, asked).rows() == [(1000,)]


@pytest.mark.parametrize(
    "asked", ["describe core.items", "show tables", "explain select 1", "summarize core.items"]
)
def test_statements_that_explain_are_answered(published, asked):
    assert warehouse.query(published, asked).height >= 0


def test_an_answer_keeps_names_types_and_order_over_several_pieces(published):
    asked = (
        "select range as n, range::varchar as t, [range] as l, now() as z from range(250000) order by n desc"
    )
    answer = warehouse.query(published, asked)
    assert answer["n"].to_list() == list(range(249_999, -1, -1))
    assert answer.schema["l"] == pl.List(pl.Int64)
    assert answer.schema["z"] == pl.Datetime("us", "UTC")
    empty = warehouse.query(published, "select item_key, item_id from core.items where false")
    assert dict(empty.schema) == {"item_key": pl.Int64, "item_id": pl.String}


def test_a_query_that_takes_too_long_is_stopped(published):
    limited = with_limits(published, timeout_seconds=0.3)
    started = time.monotonic()
    with pytest.raises(ContractError, match="took too long") as refused:
        warehouse.query(
            limited,
            "select sum(hash(a.item_key, b.item_key, c.item_key, d.item_key)) "
            "from core.items a, core.items b, core.items c, core.items d",
        )
    assert time.monotonic() - started < 5
    assert "query.timeout_seconds" in str(refused.value)
    assert not list((published.home / "tmp").glob("query-*"))
    assert not [thread for thread in threading.enumerate() if thread.name == "query-watch"]


@pytest.mark.parametrize(
    "hungry",
    [
        pytest.param("select * from range(100000000)", id="a long answer"),
        pytest.param("select repeat('x', 1000000) from range(100000)", id="wide values"),
        pytest.param(
            "select a.item_id || b.item_id || repeat('x', 1000) from core.items a, core.items b order by 1",
            id="a sort that spills",
        ),
        pytest.param("select histogram(range) from range(1000000000)", id="an aggregate without account"),
    ],
)
def test_a_query_that_holds_too_much_is_stopped(published, hungry):
    before = resident_mib()
    limited = with_limits(published, memory_limit_mib=64, spill_limit_mib=16, timeout_seconds=60)
    with pytest.raises(ContractError, match="more memory") as refused:
        warehouse.query(limited, hungry)
    assert "memory_limit_mib" in str(refused.value)
    assert resident_mib() - before < 600
    assert not list((published.home / "tmp").glob("query-*"))


def resident_mib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20


def test_a_query_spills_below_home_only(published):
    limited = with_limits(published, memory_limit_mib=64)
    asked = "select count(*) as n from (select random() as r from core.items a, core.items b order by r)"
    assert warehouse.query(limited, asked).item() == 1_000_000
    asked = "select value from duckdb_settings() where name = 'temp_directory'"
    folder = Path(warehouse.query(limited, asked).item())
    assert folder.parent == published.home.resolve() / "tmp"
    assert not folder.exists()


@pytest.mark.slow
def test_the_command_ends_itself_where_a_query_cannot_be_interrupted(published):
    flags = ["--home", str(published.home), "--set", "query.timeout_seconds=1"]
    started = time.monotonic()
    done = subprocess.run(
        [str(Path(sys.executable).with_name("edpipe")), *flags, "sql", "select len(range(200000000))"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == ContractError.exit_code
    assert "query.timeout_seconds" in done.stderr
    assert time.monotonic() - started < 40
