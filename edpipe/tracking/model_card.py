"""A model card in Markdown, generated from what was recorded: nothing in it is typed by hand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from edpipe.tracking.card_words import TRACING, CardWords

TUTOR_TERMS = "DataShop terms of use: research only, rows may not be passed on"
LICENCES = {
    "ednet": "EdNet, CC BY-NC 4.0: no commercial use of the data",
    "assistments": "ASSISTments, by its terms of use",
    "kddcup": TUTOR_TERMS,
    "datashop": TUTOR_TERMS,
    "mathia": TUTOR_TERMS,
    "clicks": "that of the log's publisher: see the manifest",
    "synthetic": "synthetic, none",
    "file": "that of the user's file",
}


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What a model card tells.

    Attributes
    ----------
    name, model, run_key
        Registered name, model name in ``metrics``, key of the training run.
    source
        Source of the logs, or ``synthetic``: decides the licence named.
    data
        Facts about the data by label: table, fingerprint, rows, students, manifest.
    splits
        Split to number of students and rows.
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
    words
        What cards of this family say.
    statements
        Plain sentences about what the model is good for beside the baselines.
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
    words: CardWords = TRACING
    statements: Sequence[str] = ()


def model_card(facts: CardFacts) -> str:
    """Return the card in Markdown."""
    sections = (
        _overview(facts),
        *([_bullets("Beside the baselines", facts.statements)] if facts.statements else []),
        _data(facts),
        _metrics(facts),
        _groups(facts),
        _calibration(facts),
        _warnings(facts),
        _bullets("Limits", facts.words.limits),
        ["## How to load", "", facts.words.load.format(name=facts.name)],
        _bullets("Parameters", [f"`{key}`: {value}" for key, value in facts.parameters.items()]),
        _bullets("Code and environment", [f"`{key}`: {value}" for key, value in facts.code.items()]),
    )
    return "\n".join(line for section in sections for line in [*section, ""]).rstrip() + "\n"


def _overview(facts: CardFacts) -> list[str]:
    metric, title = facts.words.headline
    test = _value(facts.metrics, facts.model, "test", "all", metric)
    says = f" {title} {test}." if test else ""
    return [
        f"# Model card: {facts.name} ({facts.model})",
        "",
        f"{facts.words.summary}{says}",
        f"Training run `{facts.run_key}`.",
    ]


def _data(facts: CardFacts) -> list[str]:
    licence = LICENCES.get(facts.source, "not recorded: ask whoever provided the data")
    lines = ["## Data", "", f"- Source: {facts.source}", f"- Licence of the data: {licence}"]
    lines += [f"- {label}: {value}" for label, value in facts.data.items()]
    unit = facts.words.rows
    rows = [
        (split, f"{counts.get(facts.words.subjects, 0):,}", f"{counts.get(unit, 0):,}")
        for split, counts in facts.splits.items()
    ]
    return [*lines, "", facts.words.splits, "", *_table(("split", facts.words.subjects, unit), rows)]


def _metrics(facts: CardFacts) -> list[str]:
    lines = ["## Scores", "", facts.words.intervals]
    for split in ("valid", "test"):
        for subset, title in facts.words.subsets.items():
            rows = list(_model_rows(facts, split, subset))
            if rows:
                header = ("model", *facts.words.metrics.values())
                lines += ["", f"### {split.capitalize()} split{title}", "", *_table(header, rows)]
    return lines


def _model_rows(facts: CardFacts, split: str, subset: str) -> Iterator[tuple[str, ...]]:
    chosen = facts.metrics.filter((pl.col("split") == split) & (pl.col("subset") == subset))
    for model in chosen["model"].unique(maintain_order=True):
        yield (model, *(_value(chosen, model, split, subset, metric) for metric in facts.words.metrics))


def _groups(facts: CardFacts) -> list[str]:
    rows = []
    for subset, title in facts.words.groups.items():
        cells = [
            _value(facts.metrics, facts.model, "test", subset, metric) for metric in facts.words.group_metrics
        ]
        if any(cells):
            rows.append((title, *cells))
    if not rows:
        return ["## Equity", "", facts.words.no_groups]
    header = ("group", *facts.words.group_metrics.values())
    return ["## Equity", "", facts.words.group_intro, "", *_table(header, rows)]


def _calibration(facts: CardFacts) -> list[str]:
    own = facts.calibration.filter(pl.col("model") == facts.model)
    rows = [
        (f"{row['predicted']:.3f}", f"{row['observed']:.3f}", f"{row['count']:,}")
        for row in own.iter_rows(named=True)
    ]
    return ["## Calibration", "", *_table(("predicted", "observed", facts.words.scored), rows)]


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
