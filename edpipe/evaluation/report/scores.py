"""How well the tracer predicts, beside the baselines: table, intervals, calibration."""

from __future__ import annotations

import polars as pl

from edpipe.evaluation.report.calibration import calibration_figure
from edpipe.evaluation.report.intervals import forest, score_cell
from edpipe.evaluation.report.numbers import decimal, whole
from edpipe.evaluation.report.page import Cell, Figure, Section, Table, missing
from edpipe.evaluation.report.trained import Trained

# Column title, metric, and whether more is better.
METRICS = (
    ("AUC ↑", "auc", True),
    ("Log loss ↓", "log_loss", False),
    ("Accuracy ↑", "accuracy", True),
    ("ECE ↓", "calibration_error", False),
)
SPLITS = {"test": "test students", "valid": "validation students", "train": "training students"}
SUBSETS = (("all", "All answers"), ("first_rows", "First row of each repeated problem only"))


def scores(trained: Trained) -> Section:
    """Compare the tracer with every baseline, with intervals, and show calibration."""
    if not trained.models:
        return missing("models", "Models", not_trained(trained))
    tables, figures = [], []
    for subset, caption in SUBSETS:
        frame = trained.scores(subset)
        if len(frame):
            tables.append(_table(trained, frame, caption))
    figures.append(_forest(trained))
    if trained.evaluation is not None and len(trained.evaluation.calibration):
        figures.append(_calibration(trained, trained.evaluation.calibration))
    return Section("models", "Models", words=_words(trained), tables=tables, figures=figures)


def not_trained(trained: Trained) -> str:
    """Say that there is no evaluated tracer, and how to get one."""
    return (
        f"No tracer has been trained and evaluated yet: run `{trained.command}`, then "
        "`edpipe evaluate tracing`."
    )


def _words(trained: Trained) -> list[str]:
    row = trained.scores("all").row(0, named=True)
    who = SPLITS.get(str(trained.split), str(trained.split))
    words = [
        f"Every model predicts the same {whole(row['num_interactions'])} answers of "
        f"{whole(row['num_students'])} {who}, whom it never saw in training. The small numbers are 95 % "
        "intervals from drawing whole students again; where they overlap widely, the order may be chance.",
        "AUC: how well right answers are ranked above wrong ones (0.5 is chance). Log loss: the cost of "
        "being sure and wrong. ECE: how far predicted and observed shares of right answers lie apart.",
    ]
    if trained.split != "test":
        words.append("These are not test students: the test split has not been opened for this run.")
    return words


def _table(trained: Trained, frame: pl.DataFrame, caption: str) -> Table:
    known = {(row["model"], row["metric"]): row for row in frame.to_dicts()}
    best = {
        metric: (max if more else min)(
            (known[model, metric]["value"] for model in trained.models if (model, metric) in known),
            default=None,
        )
        for _, metric, more in METRICS
    }
    rows = [
        [
            Cell(model, remark="tracer" if model in trained.learned else "baseline"),
            *(score_cell(known.get((model, metric)), best[metric]) for _, metric, _ in METRICS),
        ]
        for model in trained.models
    ]
    return Table(
        ["Model", *(title for title, _, _ in METRICS)], rows, caption=caption, numeric=frozenset({1, 2, 3, 4})
    )


def beaten(trained: Trained) -> list[str]:
    """Return a warning where the best tracer ranks answers no better than the best baseline."""
    tracers = [model for model in trained.models if model in trained.learned]
    baselines = [model for model in trained.models if model not in trained.learned]
    if not tracers or not baselines:
        return []
    frame = trained.scores("all").filter(pl.col("metric") == "auc")
    auc = dict(frame.select("model", "value").rows())
    tracer, baseline = tracers[0], baselines[0]
    if auc[tracer] > auc[baseline]:
        return []
    return [
        f"The tracer {tracer!r} does not beat the baseline {baseline!r}: AUC {decimal(auc[tracer])} against "
        f"{decimal(auc[baseline])}. With few students or a small preset that is expected."
    ]


def _forest(trained: Trained) -> Figure:
    frame = trained.scores("all")
    panels = [
        (title, metric, frame.filter(pl.col("metric") == metric).to_dicts())
        for title, metric in (("AUC (right is better)", "auc"), ("Log loss (left is better)", "log_loss"))
    ]
    reading = (
        "A dot is a model's score, the bar through it the 95 % interval; filled dots are tracers, hollow "
        "ones baselines."
    )
    label = "AUC and log loss of each model with intervals"
    return forest("forest", "Scores with intervals", reading, label, panels, trained.models, trained.learned)


def _calibration(trained: Trained, frame: pl.DataFrame) -> Figure:
    reading = (
        "Answers are put in bins by predicted chance (across); the height is the share that was right. On "
        "the dashed line predictions mean what they say; below it the model is too sure of success. "
        "Larger dots hold more answers."
    )
    return calibration_figure(
        "calibration", "Calibration", reading, frame, trained.models, trained.learned, "answers"
    )
