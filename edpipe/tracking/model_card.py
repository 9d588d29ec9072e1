"""A model card in Markdown, generated from what was recorded: nothing in it is typed by hand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

LICENCES = {
    "ednet": "EdNet, CC BY-NC 4.0: no commercial use of the data",
    "assistments": "ASSISTments, by its terms of use",
    "synthetic": "synthetic, none",
}
LOAD = """```python
import mlflow

model = mlflow.pyfunc.load_model("models:/{name}@champion")
# columns student_id, item_id, is_correct, elapsed_seconds, answered_at; one probability a row,
# from the earlier rows of the same student
model.predict(answers)
```"""
LIMITS = (
    "The probability is for the student's next answer to an item as these students met it; it is no "
    "measure of a person, and no decision about one should rest on it alone.",
    "Mastery is what the model expects on a KC's items; a KC with few items or answers is uncertain.",
    "Items and KCs never met in training are treated as unknown ones.",
    "Students, items and times of other platforms differ: measure again before use there.",
)
METRIC_NAMES = {
    "auc": "AUC",
    "log_loss": "log loss",
    "accuracy": "accuracy",
    "calibration_error": "calibration error",
}


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What a model card tells.

    Attributes
    ----------
    name, model, run_key
        Registered name, model name in ``metrics``, key of the training run.
    source
        ``ednet``, ``assistments`` or ``synthetic``: decides the licence named.
    data
        Facts about the data by label: table, fingerprint, rows, students, manifest.
    splits
        Split to number of students and interactions.
    parameters
        Hyper-parameters by name.
    metrics
        As in an evaluation: ``model, split, subset, metric, value, low, high, num_interactions,
        num_students``.
    calibration
        ``model, bin, predicted, observed, count``.
    warnings
        Sentences of the evaluation.
    code
        Code version and environment by label.
    """

    name: str
    model: str
    run_key: str
    source: str
    data: Mapping[str, Any]
    splits: Mapping[str, Mapping[str, int]]
    parameters: Mapping[str, Any]
    metrics: pl.DataFrame
    calibration: pl.DataFrame
    warnings: Sequence[str] = ()
    code: Mapping[str, str] = field(default_factory=dict)


def model_card(facts: CardFacts) -> str:
    """Return the card in Markdown."""
    sections = (
        _overview(facts),
        _data(facts),
        _metrics(facts),
        _groups(facts),
        _calibration(facts),
        _warnings(facts),
        _bullets("Limits", LIMITS),
        ["## How to load", "", LOAD.format(name=facts.name)],
        _bullets("Parameters", [f"`{key}`: {value}" for key, value in facts.parameters.items()]),
        _bullets("Code and environment", [f"`{key}`: {value}" for key, value in facts.code.items()]),
    )
    return "\n".join(line for section in sections for line in [*section, ""]).rstrip() + "\n"


def _overview(facts: CardFacts) -> list[str]:
    test = _value(facts.metrics, facts.model, "test", "all", "auc")
    says = f" Test AUC {test}." if test else ""
    return [
        f"# Model card: {facts.name} ({facts.model})",
        "",
        f"Predicts whether a student's next answer is right, from the earlier ones.{says}",
        f"Training run `{facts.run_key}`.",
    ]


def _data(facts: CardFacts) -> list[str]:
    licence = LICENCES.get(facts.source, "not recorded: ask whoever provided the data")
    lines = ["## Data", "", f"- Source: {facts.source}", f"- Licence of the data: {licence}"]
    lines += [f"- {label}: {value}" for label, value in facts.data.items()]
    rows = [
        (split, f"{counts.get('students', 0):,}", f"{counts.get('interactions', 0):,}")
        for split, counts in facts.splits.items()
    ]
    intro = "Split by student: no student is in two parts. The test part is opened once a run."
    return [*lines, "", intro, "", *_table(("split", "students", "interactions"), rows)]


def _metrics(facts: CardFacts) -> list[str]:
    lines = ["## Scores", "", "With 95 % intervals from drawing students again."]
    for split in ("valid", "test"):
        for subset, title in (("all", ""), ("first_rows", ", first rows of repeated problems")):
            rows = list(_model_rows(facts.metrics, split, subset))
            if rows:
                header = ("model", *METRIC_NAMES.values())
                lines += ["", f"### {split.capitalize()} split{title}", "", *_table(header, rows)]
    return lines


def _model_rows(metrics: pl.DataFrame, split: str, subset: str) -> Iterator[tuple[str, ...]]:
    chosen = metrics.filter((pl.col("split") == split) & (pl.col("subset") == subset))
    for model in chosen["model"].unique(maintain_order=True):
        yield (model, *(_value(chosen, model, split, subset, metric) for metric in METRIC_NAMES))


def _groups(facts: CardFacts) -> list[str]:
    rows = []
    for group in ("low", "middle", "high", "gap"):
        cells = [
            _value(facts.metrics, facts.model, "test", f"mastery:{group}", metric)
            for metric in ("auc", "calibration_error", "false_positive_rate")
        ]
        if any(cells):
            rows.append((group, *cells))
    if not rows:
        return ["## Equity", "", "Not measured: too few students."]
    intro = (
        "Students by the share of right answers at the start of their history, scored on the rest. The "
        "gap in the false positive rate (wrong answers predicted right) is the lack of predictive equality."
    )
    return [
        "## Equity",
        "",
        intro,
        "",
        *_table(("group", "AUC", "calibration error", "false positives"), rows),
    ]


def _calibration(facts: CardFacts) -> list[str]:
    own = facts.calibration.filter(pl.col("model") == facts.model)
    rows = [
        (f"{row['predicted']:.3f}", f"{row['observed']:.3f}", f"{row['count']:,}")
        for row in own.iter_rows(named=True)
    ]
    return ["## Calibration", "", *_table(("predicted", "observed", "answers"), rows)]


def _warnings(facts: CardFacts) -> list[str]:
    return _bullets("Warnings", facts.warnings or ["None."])


def _bullets(title: str, sentences: Sequence[str]) -> list[str]:
    return [f"## {title}", "", *(f"- {sentence}" for sentence in sentences)]


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [header, ["---"] * len(header), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]


def _value(metrics: pl.DataFrame, model: str, split: str, subset: str, metric: str) -> str:
    """Return one number with its interval, or nothing if it was not measured."""
    found = metrics.filter(
        (pl.col("model") == model)
        & (pl.col("split") == split)
        & (pl.col("subset") == subset)
        & (pl.col("metric") == metric)
    )
    if len(found) == 0:
        return ""
    row = found.row(0, named=True)
    interval = "" if row["low"] != row["low"] else f" ({row['low']:.3f} to {row['high']:.3f})"
    return f"{row['value']:.3f}{interval}"
