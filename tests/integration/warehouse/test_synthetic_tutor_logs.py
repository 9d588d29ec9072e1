"""What was planted in synthetic tutor logs is found again behind ingestion and SQL."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from edpipe import warehouse
from edpipe.settings import Settings, load_settings
from edpipe.sources.synthetic import (
    SyntheticTutor,
    draw_tutor_world,
    write_datashop_steps,
    write_datashop_transactions,
    write_kddcup,
    write_mathia,
)
from edpipe.sources.tutor import ingest_tutor

pytestmark = pytest.mark.integration
SECTION = r"(TUTOR-\d+-\d+)$"
KEY = ["student_id", "section", "problem_name", "problem_view"]
FACTS = ["first_attempt", "incorrects", "hints", "corrects"]
DATASETS = ["synthetic_k", "synthetic_s", "synthetic_t", "synthetic_m", "synthetic_c"]


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, dict[str, SyntheticTutor]]:
    home = tmp_path_factory.mktemp("planted")
    settings = load_settings(
        "smoke",
        file=home / "none.toml",
        home=home,
        progress="none",
        warehouse={"kc_models": ("SubSkills", "Default", "MATHia")},
    )
    world = draw_tutor_world(40, 4, 6, 24, seed=3)
    truths = {
        "synthetic_k": write_kddcup(home / "kddcup", world, name="synthetic_k", test_share=0.0),
        "synthetic_s": write_datashop_steps(home / "steps", world, name="synthetic_s"),
        "synthetic_t": write_datashop_transactions(home / "transactions", world, name="synthetic_t"),
        "synthetic_m": write_mathia(home / "mathia", world, name="synthetic_m"),
        "synthetic_c": write_mathia(home / "mathia", world, name="synthetic_c", form="commas"),
    }
    paths: dict[str, list[Path]] = {"kddcup": [], "datashop": [], "mathia": []}
    for name, truth in truths.items():
        source = {"synthetic_k": "kddcup", "synthetic_m": "mathia", "synthetic_c": "mathia"}.get(
            name, "datashop"
        )
        paths[source] += truth.paths
    for source, files in paths.items():
        ingest_tutor(source, files, settings)
    warehouse.build(settings)
    return settings, truths


def attempts_of(settings: Settings, dataset: str) -> pl.DataFrame:
    return warehouse.query(
        settings,
        "SELECT student_id, section_id, problem_id, problem_view, attempt_number, kc_ids "
        "FROM core.problem_attempts LEFT JOIN features.strategies USING (attempt_key) "
        f"WHERE dataset = '{dataset}'",
    ).select(
        pl.col("student_id").str.split("/").list.last(),
        pl.col("section_id").str.extract(SECTION).alias("section"),
        pl.col("problem_id").str.split("/").list.last().alias("problem_name"),
        "problem_view",
        "attempt_number",
        pl.col("kc_ids")
        .fill_null([])
        .list.eval(pl.element().str.replace(rf"^{dataset}/", ""))
        .alias("strategy"),
    )


def truth_of(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(
        section=pl.col("problem_hierarchy").str.extract(SECTION),
        problem_view=pl.col("problem_view").cast(pl.Int32),
    )


@pytest.mark.parametrize("dataset", DATASETS)
def test_strategies_are_found_again_in_order(
    planted: tuple[Settings, dict[str, SyntheticTutor]], dataset: str
) -> None:
    settings, truths = planted
    truth = truth_of(truths[dataset].attempts).with_columns(pl.col("attempt_number").cast(pl.Int32))
    columns = [*KEY, "attempt_number", "strategy"]
    found = attempts_of(settings, dataset).select(columns).sort(KEY)
    assert found.height > 500
    assert found.equals(truth.select(columns).sort(KEY))


@pytest.mark.parametrize("dataset", DATASETS)
def test_first_attempts_and_counters_are_found_again(
    planted: tuple[Settings, dict[str, SyntheticTutor]], dataset: str
) -> None:
    settings, truths = planted
    found = warehouse.query(
        settings,
        "SELECT student_id, section_id, item_id, problem_view, first_attempt, incorrects, hints, corrects "
        "FROM core.steps JOIN core.problem_steps USING (item_key) JOIN core.students USING (student_key) "
        f"WHERE dataset = '{dataset}'",
    ).with_columns(
        pl.col("student_id").str.split("/").list.last(),
        section=pl.col("section_id").str.extract(SECTION),
        problem_name=pl.col("item_id").str.split("/").list.get(-2),
        step_name=pl.col("item_id").str.split("/").list.last(),
    )
    columns = [*KEY, "step_name", *FACTS]
    truth = truth_of(truths[dataset].steps).with_columns(pl.col(FACTS[1:]).cast(pl.Int32))
    if dataset == "synthetic_k":
        # The challenge tells right from wrong only: a hint first is wrong.
        truth = truth.with_columns(pl.col("first_attempt").replace("hint", "incorrect"))
    assert found.select(columns).sort(columns).equals(truth.select(columns).sort(columns))


def test_departures_from_the_usual_strategy_are_found_again(
    planted: tuple[Settings, dict[str, SyntheticTutor]],
) -> None:
    settings, truths = planted
    truth = truth_of(truths["synthetic_k"].attempts).filter(pl.col("problem_view") == 1)
    found = attempts_of(settings, "synthetic_k").join(truth, on=KEY, suffix="_true")
    assert found.height == truth.height
    departed = found.select((pl.col("strategy") != pl.col("usual_strategy")).alias("found"), "is_departure")
    assert departed["found"].equals(departed["is_departure"], check_names=False)


def test_the_account_has_no_error_and_names_what_is_left_out(
    planted: tuple[Settings, dict[str, SyntheticTutor]],
) -> None:
    settings, truths = planted
    account = warehouse.query(settings, "SELECT * FROM core.reconciliation")
    assert account.filter(~pl.col("is_ok"), pl.col("severity") != "info").height == 0
    kinds = pl.concat([truth.transactions for truth in truths.values() if truth.transactions.height])["kind"]
    left_out = account.filter(pl.col("check_name").str.starts_with("untutored"))["observed"].sum()
    assert left_out == kinds.is_in(["view_page", "save", "done", "autofilled"]).sum()
    merged = account.filter(pl.col("check_name") == "merged_rows", pl.col("source") == "kddcup")["observed"]
    assert merged.sum() == truths["synthetic_k"].rows - truths["synthetic_k"].steps.height


def test_tracing_and_mastery_read_tutor_logs_like_others(
    planted: tuple[Settings, dict[str, SyntheticTutor]],
) -> None:
    settings, truths = planted
    examples = warehouse.query(
        settings,
        "SELECT COUNT(*), AVG(is_correct::INT) FROM training.tracing_examples WHERE source = 'kddcup'",
    ).row(0)
    steps = truths["synthetic_k"].steps
    assert examples == (steps.height, pytest.approx(steps["is_correct"].mean()))
    # The n-th meeting of a student and a component is the one that was planted.
    opportunities = warehouse.query(
        settings,
        "SELECT student_key, kc_key, MAX(opportunity) AS most FROM core.opportunities "
        "WHERE source = 'kddcup' GROUP BY ALL",
    )
    known = warehouse.query(
        settings, "SELECT COUNT(*) FROM features.kc_mastery WHERE source = 'kddcup'"
    ).item()
    assert opportunities.height == known > 0
    planted_most = max(steps["opportunity_0"].max(), steps["opportunity_1"].max())
    assert opportunities["most"].max() == planted_most
