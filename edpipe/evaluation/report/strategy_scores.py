"""How well strategies are predicted: the predictor beside a lookup and other baselines."""

from __future__ import annotations

import polars as pl

from edpipe.evaluation.report.calibration import calibration_figure
from edpipe.evaluation.report.intervals import Row, forest, score_cell
from edpipe.evaluation.report.numbers import absent, decimal, percent, whole
from edpipe.evaluation.report.page import Cell, Figure, Section, Table, missing
from edpipe.evaluation.report.strategy_run import EXACT, StrategyRun

NAME, TITLE = "strategies", "Strategies"
# Column title, metric, and whether more is better.
METRICS = (
    ("Exact ↑", EXACT, True),
    ("Jaccard ↑", "jaccard", True),
    ("Edit similarity ↑", "edit_similarity", True),
    ("LCS-F1 ↑", "lcs_f1", True),
    ("Next KC ↑", "next_kc_accuracy", True),
    ("Length error ↓", "length_error", False),
)
SUBSETS = {
    "all": "All attempts",
    "seen_problems": "Problems met in training",
    "unseen_problems": "New problems",
    "departures": "Departures",
}
GAINS = ((EXACT, "Exact"), ("jaccard", "Jaccard"), ("edit_similarity", "Edit similarity"))
SEEN = ("seen_problems", "On problems met in training a parameter-free lookup is enough")
NUM_OTHERS = 2
SPLITS = {"test": "test attempts", "valid": "validation attempts", "train": "training attempts"}


def strategy_scores(run: StrategyRun) -> Section:
    """Compare the predictor with every baseline: tables, intervals, calibration of confidence."""
    trained = run.trained
    if run.predictor is None:
        return missing(NAME, TITLE, not_trained(run))
    tables = [_table(run, trained.scores("all"), SUBSETS["all"])]
    gains = _gains(run)
    if gains.rows:
        tables.append(gains)
    seen = trained.scores("seen_problems")
    folded = [_table(run, seen, SUBSETS["seen_problems"])] if len(seen) else []
    figures = [_forest(run)]
    calibration = trained.evaluation.calibration if trained.evaluation else pl.DataFrame()
    words = _words(run)
    if len(calibration):
        figures.append(_calibration(run, calibration))
    else:
        words.append("The calibration of the predictor's confidence was not measured.")
    return Section(NAME, TITLE, words=words, tables=tables, folded=folded, figures=figures)


def not_trained(run: StrategyRun) -> str:
    """Say that there is no evaluated predictor, and how to get one."""
    return (
        "No predictor of strategies has been trained and evaluated: ingest the log of a tutor, then "
        f"`{run.trained.command}` and `edpipe evaluate strategy`."
    )


def enough(run: StrategyRun) -> list[str]:
    """Return a sentence where a lookup without parameters predicts as well as the predictor."""
    for subset, start in (("all", "A parameter-free lookup is enough here"), SEEN):
        predictor, lookup = run.row(run.predictor, subset), run.row(run.lookup, subset)
        if predictor is None or lookup is None or run.predictor == run.lookup:
            continue
        if not _is_better(run, subset, predictor, lookup):
            return [
                f"{start}: {run.lookup!r} predicts {percent(lookup['value'])} of the strategies exactly, "
                f"the predictor {run.predictor!r} {_value(predictor)}."
            ]
    return []


def beaten(run: StrategyRun) -> list[str]:
    """Return a warning where another baseline than the lookup predicts more strategies exactly."""
    predictor = run.row(run.predictor)
    baselines = [model for model in run.trained.models if model not in (*run.trained.learned, run.lookup)]
    best = run.row(next(iter(baselines), None))
    if predictor is None or best is None or best["value"] < predictor["value"]:
        return []
    return [
        f"The predictor {run.predictor!r} does not beat the baseline {best['model']!r}: exact match "
        f"{percent(predictor['value'])} against {percent(best['value'])}."
    ]


def _is_better(run: StrategyRun, subset: str, predictor: Row, lookup: Row) -> bool:
    """Tell whether the predictor is better by more than chance: the paired difference where there is one."""
    gain = run.gain(run.predictor, subset)
    if gain is not None and not absent(gain["low"]):
        return bool(gain["low"] > 0)
    least = predictor["value"] if absent(predictor["low"]) else predictor["low"]
    return bool(least > lookup["value"])


def strategy_figure(run: StrategyRun) -> list[tuple[str, str, str]]:
    """Return the key figure of the predictor, where there is one."""
    row = run.row(run.predictor)
    if row is None:
        return []
    lookup = run.row(run.lookup)
    beside = f"; {run.lookup} {percent(lookup['value'])}" if lookup else ""
    span = "" if absent(row["low"]) else f", {percent(row['low'])} – {percent(row['high'])}"
    return [("Strategies predicted exactly", percent(row["value"]), f"{run.predictor}{span}{beside}")]


def _value(row: Row) -> str:
    if absent(row["low"]):
        return percent(row["value"])
    return f"{percent(row['value'])} ({percent(row['low'])} – {percent(row['high'])})"


def _words(run: StrategyRun) -> list[str]:
    row = run.row(run.predictor)
    if row is None:
        return []
    attempts = SPLITS.get(str(run.trained.split), str(run.trained.split))
    words = [
        "A strategy is the sequence of KCs a student uses on a problem. Every model predicts it before the "
        f"first step, for the same {whole(row['num_interactions'])} {attempts} of "
        f"{whole(row['num_students'])} students. The small numbers are 95 % intervals from drawing whole "
        "students again.",
        "Exact: the whole sequence is right. Jaccard: KCs in common, order aside. Edit similarity and "
        "LCS-F1: how much of the order is right. Next KC: the next one is right, given those before it. "
        "Length error: KCs too many or too few.",
    ]
    departures = run.row(run.predictor, "departures")
    if departures is None:
        words.append("Departures, where a student leaves the usual strategy of the problem, were not scored.")
    else:
        words.append(
            f"In {whole(departures['num_interactions'])} attempts the student departs from the strategy most "
            "frequent for the problem. No lookup of the most frequent strategy can predict these; "
            f"{run.predictor} predicts {_value(departures)}."
        )
    if run.trained.split != "test":
        words.append("The test part has not been opened for this run.")
    return words


def _table(run: StrategyRun, frame: pl.DataFrame, caption: str) -> Table:
    known = {(row["model"], row["metric"]): row for row in frame.to_dicts()}
    models = [model for model in run.trained.models if (model, EXACT) in known]
    shown = [one for one in METRICS if any((model, one[1]) in known for model in models)]
    best = {
        metric: (max if more else min)(
            known[model, metric]["value"] for model in models if (model, metric) in known
        )
        for _, metric, more in shown
    }
    rows = [
        [
            Cell(model, remark=_role(run, model)),
            *(score_cell(known.get((model, metric)), best[metric]) for _, metric, _ in shown),
        ]
        for model in models
    ]
    counts = known[models[0], EXACT]
    numbers = f"{whole(counts['num_interactions'])} attempts"
    return Table(
        ["Model", *(title for title, _, _ in shown)],
        rows,
        caption=f"{caption}: {numbers}",
        numeric=frozenset(range(1, len(shown) + 1)),
    )


def _gains(run: StrategyRun) -> Table:
    """Return what the predictor adds to the lookup, each difference with an interval of its own."""
    rows: list[list[Cell | str]] = []
    for subset, caption in SUBSETS.items():
        cells = [run.gain(run.predictor, subset, metric) for metric, _ in GAINS]
        if cells[0] is not None:
            counts = run.row(run.predictor, subset)
            rows.append(
                [
                    caption,
                    whole(counts["num_interactions"]) if counts else decimal(None),
                    *(gain_cell(cell) for cell in cells),
                    "the lookup is wrong by definition" if subset == "departures" else _verdict(cells[0]),
                ]
            )
    return Table(
        ["", "Attempts", *(title for _, title in GAINS), "Verdict"],
        rows,
        caption=f"Gain of {run.predictor} over {run.lookup}",
        numeric=frozenset(range(1, 2 + len(GAINS))),
    )


def gain_cell(row: Row | None) -> Cell:
    """Return a difference with its sign and its interval below; a dash where nothing was measured."""
    if row is None:
        return Cell(decimal(None))
    span = "" if absent(row["low"]) else f"{row['low']:+.3f} to {row['high']:+.3f}"
    return Cell(f"{row['value']:+.3f}", remark=span)


def _verdict(row: Row) -> str:
    if absent(row["low"]):
        return "no interval"
    if row["low"] > 0:
        return "better than the lookup"
    return "worse than the lookup" if row["high"] < 0 else "the lookup is enough"


def _role(run: StrategyRun, model: str) -> str:
    if model in run.trained.learned:
        return "predictor"
    return "the one to beat" if model == run.lookup else "baseline"


def _forest(run: StrategyRun) -> Figure:
    models = run.trained.models
    panels = []
    for subset, caption in SUBSETS.items():
        frame = run.trained.scores(subset)
        rows = frame.filter(pl.col("metric") == EXACT).to_dicts() if len(frame) else []
        if rows:
            panels.append((caption, subset.replace("_", " "), rows))
    reading = (
        "A dot is the share of strategies predicted exactly, the bar through it the 95 % interval; the "
        "filled dot is the predictor, hollow ones are baselines. Departures are attempts in which the "
        "student leaves the problem's usual strategy."
    )
    return forest(
        "strategy-scores",
        "Strategies predicted exactly",
        reading,
        "Share of strategies predicted exactly by each model",
        panels,
        models,
        run.trained.learned,
    )


def _calibration(run: StrategyRun, frame: pl.DataFrame) -> Figure:
    reading = (
        "Attempts are put in bins by the probability the model gives its own answer (across); the height is "
        "the share predicted exactly. On the dashed line confidence means what it says; below it the model "
        "is too sure. Larger dots hold more attempts."
    )
    # All baselines would fill the page: the best stand for them.
    others = [model for model in run.trained.models if model not in (*run.trained.learned, run.lookup)]
    shown = [*run.trained.learned, *([run.lookup] if run.lookup else []), *others[:NUM_OTHERS]]
    return calibration_figure(
        "strategy-calibration",
        "Calibration of confidence",
        reading,
        frame.filter(pl.col("model").is_in(shown)),
        shown,
        run.trained.learned,
        "attempts",
    )
