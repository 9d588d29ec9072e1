"""The evaluation table: same rows for all, warnings, and a test split that is opened once."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from unit.evaluation.simulated_answers import predictions_of, simulate

from edpipe.errors import ContractError
from edpipe.evaluation.baselines import ItemDifficulty, Majority
from edpipe.evaluation.equity import mastery_groups
from edpipe.evaluation.evaluate import evaluate_predictions, evaluate_tracing
from edpipe.evaluation.results import CALIBRATION_SCHEMA, METRIC_SCHEMA, Evaluation, openings

ANSWERS, ITEM_KCS = simulate(60)
TRUTH = predictions_of(ANSWERS, ANSWERS["truth"].to_numpy())


def test_table_holds_every_model_subset_and_metric():
    constant = predictions_of(ANSWERS, np.full(len(ANSWERS), 0.6))
    found = evaluate_predictions(
        {"truth": TRUTH, "constant": constant}, mastery_groups=mastery_groups(ANSWERS), num_draws=20, seed=1
    )
    assert found.metrics.schema == METRIC_SCHEMA
    assert found.calibration.schema == CALIBRATION_SCHEMA
    subsets = ["all", "mastery:gap", "mastery:high", "mastery:low", "mastery:middle"]
    assert found.metrics["subset"].unique().sort().to_list() == subsets
    whole = found.metrics.filter(pl.col("subset") == "all")
    assert whole["num_interactions"].unique().to_list() == [len(ANSWERS)]
    assert whole["num_students"].unique().to_list() == [60]
    assert ((whole["low"] <= whole["value"]) | (whole["metric"] == "calibration_error")).all()
    assert found.value("constant", "auc") == 0.5
    assert found.value("truth", "auc") > 0.7
    assert found.value("constant", "auc", subset="mastery:gap") == 0
    assert (
        found.calibration.group_by("model").agg(pl.col("count").sum())["count"].to_list()
        == [len(ANSWERS)] * 2
    )


def test_groups_of_students_add_up_to_the_scored_rows():
    groups = mastery_groups(ANSWERS, num_first=10)
    found = evaluate_predictions({"truth": TRUTH}, mastery_groups=groups, num_draws=0).metrics
    parts = found.filter(pl.col("subset").str.starts_with("mastery:") & (pl.col("metric") == "accuracy"))
    assert parts["num_interactions"].sum() == len(ANSWERS) - 600


def test_a_missing_number_names_what_was_measured():
    found = evaluate_predictions({"truth": TRUTH}, num_draws=0)
    with pytest.raises(ContractError, match="truth/test/all/auc"):
        found.value("truth", "acu")


def test_an_implausible_auc_is_reported():
    leaked = predictions_of(ANSWERS, ANSWERS["is_correct"].cast(pl.Float64).to_numpy() * 0.9 + 0.05)
    found = evaluate_predictions({"leaked": leaked}, num_draws=0)
    assert any("leak is likelier" in warning for warning in found.warnings)
    assert not evaluate_predictions({"truth": TRUTH}, num_draws=0, plausible_auc=0.99).warnings


def test_a_model_that_reads_its_sibling_row_is_reported():
    first = np.arange(len(ANSWERS)) % 2 == 0
    answer = ANSWERS["is_correct"].to_numpy()
    probability = np.where(first, ANSWERS["truth"].to_numpy(), answer * 0.6 + 0.2)
    frame = predictions_of(ANSWERS, probability).with_columns(is_first_row=pl.Series(first))
    found = evaluate_predictions({"row tracer": frame}, num_draws=0, plausible_auc=1.0)
    assert any("later rows of a problem repeat its answer" in warning for warning in found.warnings)
    assert found.value("row tracer", "auc", subset="first_rows") < found.value("row tracer", "auc")


def test_a_model_worse_than_a_constant_is_reported():
    share = ANSWERS["is_correct"].mean()
    frames = {
        "majority": predictions_of(ANSWERS, np.full(len(ANSWERS), share)),
        "wrong way": predictions_of(ANSWERS, 1 - ANSWERS["truth"].to_numpy()),
    }
    (warning,) = evaluate_predictions(frames, num_draws=0).warnings
    assert "'wrong way'" in warning


def test_models_on_different_rows_are_refused():
    with pytest.raises(ContractError, match="not scored on the same rows"):
        evaluate_predictions({"a": TRUTH, "b": TRUTH.head(100)}, num_draws=0)


def test_missing_columns_are_refused():
    with pytest.raises(ContractError, match="lacks columns"):
        evaluate_predictions({"a": TRUTH.drop("probability")}, num_draws=0)


def test_an_evaluation_is_read_back_as_it_was_written(tmp_path):
    written = evaluate_predictions({"truth": TRUTH}, num_draws=5)
    written.save(tmp_path)
    read = Evaluation.load(tmp_path)
    assert read.metrics.equals(written.metrics)
    assert read.calibration.equals(written.calibration)
    assert (read.warnings, read.summary) == (written.warnings, written.summary)


def test_a_run_without_evaluation_says_what_to_do(tmp_path):
    with pytest.raises(ContractError, match="edpipe evaluate tracing"):
        Evaluation.load(tmp_path)


class Tracer:
    """Predict the truth, and count how often it was asked."""

    def __init__(self) -> None:
        self.asked: list[pl.DataFrame] = []

    def __call__(self, rows: pl.DataFrame) -> dict[str, pl.DataFrame]:
        self.asked.append(rows)
        return {"attention": predictions_of(rows, rows["truth"].to_numpy())}


def evaluate(settings, run_dir, tracer, fingerprint="data 1"):
    return evaluate_tracing(
        settings,
        run_dir,
        examples=lambda: ANSWERS,
        item_kcs=ITEM_KCS,
        predict=tracer,
        data_fingerprint=fingerprint,
        baselines=[Majority(), ItemDifficulty()],
    )


def test_the_test_split_is_opened_once(settings, tmp_path):
    tracer = Tracer()
    first = evaluate(settings, tmp_path / "run1", tracer)
    second = evaluate(settings, tmp_path / "run1", tracer)
    assert len(tracer.asked) == 1
    assert second.metrics.equals(first.metrics)
    (opening,) = openings(tmp_path / "run1")
    assert opening["run_key"] == "run1"
    assert first.summary["num_openings"] == 1


def test_other_data_are_another_opening_and_it_is_counted(settings, tmp_path):
    tracer = Tracer()
    evaluate(settings, tmp_path / "run1", tracer)
    assert evaluate(settings, tmp_path / "run1", tracer, "data 2").summary["num_openings"] == 2


def test_an_evaluation_killed_half_way_is_done_again_and_counted(settings, tmp_path):
    def killed(rows: pl.DataFrame) -> dict[str, pl.DataFrame]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(settings, tmp_path / "run1", killed)
    found = evaluate(settings, tmp_path / "run1", Tracer())
    assert found.summary["num_openings"] == 2


def test_tracers_are_scored_beside_baselines_on_validation_and_test(settings, tmp_path):
    tracer = Tracer()
    found = evaluate(settings, tmp_path / "run1", tracer)
    assert set(tracer.asked[0]["split"].unique()) == {"valid", "test"}
    names = found.metrics.select("model", "split").unique().sort(pl.all()).rows()
    assert names == [
        (model, split)
        for model in ("attention", "item difficulty", "majority")
        for split in ("test", "valid")
    ]
    assert found.value("attention", "auc") > found.value("item difficulty", "auc")
