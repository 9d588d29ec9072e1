"""The lent tutor logs: every row accounted for, and DataShop's own roll-up found again."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from edpipe import warehouse
from edpipe.settings import Settings, load_settings
from edpipe.sources.tutor import ingest_tutor

pytestmark = pytest.mark.integration

# The two exports of one data set name its students differently; prefixes matched by their totals.
SAME_STUDENT = {
    "33f661bf": "7ef142c7",
    "3d034710": "9acbc050",
    "7f1b2bb5": "bc83775a",
    "84d57e34": "0bbd6b3a",
    "a360365c": "6c9d8c41",
    "a8bf48ca": "78b488ce",
    "d3b8359f": "2af5706f",
}
COUNTERS = ["corrects", "hints", "incorrects"]


def published_roll_up(path: Path) -> pl.DataFrame:
    """Read the publisher's step file without any of our code."""
    return (
        pl.read_csv(path, separator="\t", quote_char=None)
        .rename(lambda name: name.lower().replace(" ", "_"))
        .with_columns(student=pl.col("anon_student_id").str.slice(4, 8), row=pl.int_range(pl.len()))
        .select("student", "problem_name", "problem_view", "step_name", "first_attempt", *COUNTERS, "row")
    )


def own_roll_up(settings: Settings) -> pl.DataFrame:
    steps = warehouse.query(
        settings,
        "SELECT student_id, problem_id, problem_view, item_id, first_attempt, corrects, hints, incorrects, "
        "interaction_number AS row FROM core.steps JOIN core.students USING (student_key) "
        "JOIN core.problem_steps USING (item_key)",
    )
    return steps.with_columns(
        student=pl.col("student_id").str.extract(r"Stu_(.{8})").replace_strict(SAME_STUDENT),
        problem_name=pl.col("problem_id").str.split("/").list.last(),
        step_name=pl.col("item_id").str.split("/").list.last(),
    )


def agreement(own: pl.DataFrame, published: pl.DataFrame, key: list[str]) -> tuple[int, int, int]:
    """Return groups, and how many agree in the first attempt and in all three counters."""
    own, published = (
        frame.sort("row")
        .group_by(key)
        .agg(pl.col("first_attempt").first(), *(pl.col(name).sum() for name in COUNTERS))
        for frame in (own, published)
    )
    both = own.join(published, on=key, how="full", suffix="_published", nulls_equal=True)
    same = {name: pl.col(name) == pl.col(f"{name}_published") for name in ("first_attempt", *COUNTERS)}
    return (
        both.height,
        both.filter(same["first_attempt"]).height,
        both.filter(pl.all_horizontal([same[name] for name in COUNTERS])).height,
    )


def test_our_roll_up_of_transactions_is_that_of_datashop(real_data: Path, settings: Settings) -> None:
    folder = real_data / "education" / "datashop"
    ingest_tutor("datashop", [folder / "ds96_transactions.txt"], settings)
    warehouse.build(settings)
    own, published = own_roll_up(settings), published_roll_up(folder / "ds96_student_step.txt")
    groups, first_attempts, triples = agreement(own, published, ["student", "problem_name", "step_name"])
    assert (groups, first_attempts) == (848, 848)
    assert triples >= 836
    # A missing view is the first: then views agree, too.
    viewed = agreement(own, published, ["student", "problem_name", "problem_view", "step_name"])
    assert viewed == (951, 951, 939)


@pytest.fixture(scope="module")
def all_logs(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    home = tmp_path_factory.mktemp("logs")
    settings = load_settings(
        "smoke",
        file=home / "none.toml",
        home=home,
        progress="none",
        warehouse={"kc_models": ("SubSkills", "MATHia New", "Default")},
    )
    for source, folder in (("kddcup", "kddcup2010"), ("datashop", "datashop"), ("mathia", "mathia")):
        ingest_tutor(source, [real_data / "education" / folder], settings)
    warehouse.build(settings)
    return settings


def one_row(settings: Settings, sql: str) -> tuple[object, ...]:
    return warehouse.query(settings, sql).row(0)


def test_every_row_of_the_real_files_is_accounted_for(all_logs: Settings) -> None:
    account = warehouse.query(all_logs, "SELECT * FROM core.reconciliation")
    assert account.filter((pl.col("severity") == "error") & ~pl.col("is_ok")).height == 0
    assert account.filter(pl.col("severity") == "warning", ~pl.col("is_ok")).height == 0
    found = {
        (name, source, relation): observed
        for name, source, relation, observed in account.select(
            "check_name", "source", "relation", "observed"
        ).rows()
    }
    assert found["steps_accounted", "kddcup", "steps"] == 27_934
    assert found["steps_accounted", "datashop", "steps"] == 10_968
    assert found["steps_accounted", "mathia", "steps"] == 1_999
    assert found["transactions_accounted", "datashop", "transactions"] == 7_378
    assert found["transactions_left_out", "datashop", "transactions"] == 1_873
    assert found["untutored_no_outcome", "datashop", "transactions"] == 133
    assert found["untutored_no_step", "datashop", "transactions"] == 620


def test_the_slice_of_bridge_to_algebra_has_its_measured_figures(all_logs: Settings) -> None:
    bridge = "dataset = 'bridge_to_algebra_2008_2009'"
    counts = one_row(
        all_logs,
        "SELECT COUNT(*), COUNT(DISTINCT student_key), COUNT(DISTINCT section_key), "
        f"COUNT(DISTINCT problem_key), SUM(num_reentries)::INT FROM core.problem_attempts WHERE {bridge}",
    )
    assert counts == (1_734, 148, 125, 1_414, 17)
    # With bookkeeping, as it was measured; the default leaves the seven tags out: mean 9.4, most 54.
    lengths = one_row(
        all_logs,
        "SELECT COUNT(*), ROUND(AVG(length), 1), QUANTILE_DISC(length, 0.5), QUANTILE_DISC(length, 0.95), "
        "MAX(length) FROM (SELECT attempt_key, COUNT(*) AS length FROM core.step_kcs "
        f"JOIN core.problem_attempts USING (attempt_key) WHERE {bridge} GROUP BY attempt_key)",
    )
    assert lengths[:2] == (1_698, 10.3)
    assert lengths[2:] == (7, 33, 56)
    kept = one_row(
        all_logs,
        "SELECT COUNT(*), ROUND(AVG(num_kcs), 1), MAX(num_kcs) FROM features.strategies "
        "JOIN core.students USING (student_key) WHERE student_id LIKE 'bridge_to_algebra%'",
    )
    assert kept == (1_698, 9.4, 54)
    shares = one_row(
        all_logs,
        "SELECT ROUND(AVG((LEN(kc_keys) = 0)::INT), 3), SUM((num_rows > 1)::INT)::INT, "
        f"SUM(num_rows - 1)::INT FROM core.steps WHERE {bridge}",
    )
    assert shares == (0.327, 9, 10)
    ignored = one_row(all_logs, "SELECT COUNT(DISTINCT kc_key) FROM core.step_kcs WHERE is_ignored")
    assert ignored == (7,)


def test_a_blank_test_row_takes_its_answer_from_the_master_file(all_logs: Settings) -> None:
    found = one_row(
        all_logs,
        "SELECT COUNT(*), COUNT(is_correct), ROUND(AVG(is_correct::INT), 3), MIN(published_split), "
        "MIN(num_rows)::INT FROM core.steps WHERE dataset = 'algebra_2005_2006'",
    )
    assert found == (3_967, 3_967, 0.787, "master", 2)
