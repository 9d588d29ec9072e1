"""How good recommendations are beside plain floors: what it means in words, a table, and dots."""

from __future__ import annotations

import polars as pl

from edpipe.evaluation.recommendation.stored import PLANTED
from edpipe.evaluation.report.intervals import Row, forest, interval, score_cell
from edpipe.evaluation.report.numbers import NOTHING, absent, counted, decimal, whole
from edpipe.evaluation.report.page import Cell, Figure, Section, Table, missing
from edpipe.evaluation.report.recommend_run import AUC, GROUPED_AUC, LOG_LOSS, RATIO, RecommendRun

NAME, TITLE = "recommendations", "Recommendations"
SPLITS = {"test": "test impressions", "valid": "validation impressions"}
TARGETS = {
    "next_item": "what a student takes up next, beside items drawn by popularity that the student never met",
    "engagement": "whether a visit to an item is finished",
    "correct": "whether an answer is right",
}


def recommend_scores(run: RecommendRun) -> Section:
    """Compare the recommender with every floor: verdicts, table and intervals."""
    if run.recommender is None:
        reason = (
            f"No recommender has been trained and evaluated: run `{run.trained.command}`, then "
            "`edpipe evaluate diffumin`."
        )
        return missing(NAME, TITLE, reason)
    return Section(NAME, TITLE, words=_words(run), tables=[_table(run)], figures=[_forest(run)])


def recommend_figure(run: RecommendRun) -> list[tuple[str, str, str]]:
    """Return the key figure of the recommender, where there is one."""
    row, rival = run.row(run.recommender), run.row(run.rival)
    if row is None:
        return []
    remark = [str(run.recommender), *([interval(row)] if interval(row) else [])]
    beside = f"; {run.rival} {decimal(rival['value'])}" if rival else ""
    return [("AUC of recommendations", decimal(row["value"]), f"{', '.join(remark)}{beside}")]


def enough(run: RecommendRun) -> list[str]:
    """Return the verdict where the floor that validation chooses is as good as the recommender."""
    difference = run.difference(run.rival)
    if difference is None:
        return []
    least = difference["value"] if absent(difference["low"]) else difference["low"]
    return run.said[:1] if least <= 0 else []


def _words(run: RecommendRun) -> list[str]:
    ours = run.row(run.recommender)
    if ours is None:
        return run.said
    target = str(run.trained.facts.get("data", {}).get("target", ""))
    foretold = f" Foretold is {TARGETS[target]}." if target in TARGETS else ""
    where = SPLITS.get(str(run.trained.split), str(run.trained.split))
    read = (
        f"All models score the same {where}: {whole(ours['num_interactions'])} of "
        f"{counted(ours['num_students'], 'student')}, the latest of each.{foretold} AUC is the chance that "
        "what was taken up is ranked above what was not, 0.5 is guessing; within a student it counts pairs "
        "of one student only. Log loss asks whether chances are right, too, and predicted over real is 1 "
        "where as many clicks are foretold as come."
    )
    if target == "next_item":
        read += " Chances hold beside such items; among all items only their order does."
    return [*run.said, read]


def _table(run: RecommendRun) -> Table:
    models = run.trained.models
    rivals = [model for model in models if model != PLANTED]
    best = {
        metric: choose(
            (row["value"] for model in rivals if (row := run.row(model, metric)) is not None), default=None
        )
        for metric, choose in ((AUC, max), (GROUPED_AUC, max), (LOG_LOSS, min))
    }
    rows = [
        [
            Cell(model, remark=_kind(run, model)),
            *(score_cell(run.row(model, metric), best[metric]) for metric in (AUC, GROUPED_AUC, LOG_LOSS)),
            _ratio(run.row(model, RATIO)),
            _difference(run.difference(model)),
        ]
        for model in models
    ]
    columns = [
        "Model", "AUC ↑", "AUC in a student ↑", "Log loss ↓", "Predicted / real",
        f"AUC: {run.recommender} less this",
    ]  # fmt: skip
    caption = SPLITS.get(str(run.trained.split), str(run.trained.split)).capitalize()
    return Table(columns, rows, caption=caption, numeric=frozenset(range(1, 6)))


def _kind(run: RecommendRun, model: str) -> str:
    if model in run.trained.learned:
        return "recommender"
    return "knows the interests" if model == PLANTED else "floor"


def _ratio(row: Row | None) -> Cell:
    if row is None:
        return Cell(decimal(None))
    remark = "" if absent(row["low"]) else f"{decimal(row['low'], 2)} – {decimal(row['high'], 2)}"
    return Cell(decimal(row["value"], 2), remark=remark)


def _difference(row: Row | None) -> Cell:
    if row is None:
        return Cell(NOTHING)
    remark = "" if absent(row["low"]) else f"{row['low']:+.3f} – {row['high']:+.3f}"
    return Cell(f"{row['value']:+.3f}", remark=remark)


def _forest(run: RecommendRun) -> Figure:
    frame = run.trained.scores("all")
    panels = [
        (title, word, frame.filter(pl.col("metric") == metric).to_dicts())
        for title, word, metric in (
            ("AUC (right is better)", "AUC", AUC),
            ("Log loss (left is better)", "Log loss", LOG_LOSS),
        )
    ]
    reading = (
        "A dot is a model's score, the bar through it the 95 % interval from drawing students again; the "
        "filled dot is the recommender, hollow ones are floors. Bars that overlap do not say that two models "
        "are alike: they are compared on the same students, and the difference is known better than either "
        "score."
    )
    label = "AUC and log loss of each model with intervals"
    models, learned = run.trained.models, run.trained.learned
    return forest("recommend-scores", "Scores with intervals", reading, label, panels, models, learned)
