"""Which strategies go together: the map of clusters and the profile of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edpipe.evaluation.report.intervals import Row, interval
from edpipe.evaluation.report.names import without_middle
from edpipe.evaluation.report.numbers import counted, decimal, percent, whole
from edpipe.evaluation.report.page import Cell, Figure, Section, Table, missing
from edpipe.evaluation.report.published import Published
from edpipe.evaluation.report.strategy_map import NEEDED, map_figure
from edpipe.evaluation.report.strategy_run import StrategyRun

NAME, TITLE = "strategy-clusters", "Clusters of strategies"
RELATION = "predictions.cluster_profiles"
NUM_PROFILES = 50
NUM_OPEN = 8
COLUMNS = (
    "cluster",
    "num_attempts",
    "num_students",
    "num_problems",
    "typical_strategy",
    "typical_share",
    "entropy",
    "mean_mastery",
    "strongest_kcs",
    "weakest_kcs",
    "symmetry",
)
COUNT = f"select count(*) as num_clusters, sum(num_attempts) as num_attempts from {RELATION}"
PROFILES = f"""
select {", ".join(COLUMNS)}
from {RELATION}
order by num_attempts desc, source, cluster
limit {NUM_PROFILES}
"""
NUM_SHOWN_KCS = 5
LONGEST_KC = 45
NOT_CLUSTERED = "There are no clusters of strategies yet: `edpipe cluster` makes them."


def strategy_clusters(published: Published, run: StrategyRun) -> Section:
    """Show the map of clusters and the profiles of the largest."""
    words: list[str] = []
    figures: list[Figure] = []
    tables: list[Table] = []
    folded: list[Table] = []
    points = run.points
    if points is not None and set(points.columns) >= NEEDED and (points["cluster"] >= 0).any():
        figures.append(map_figure(points))
    else:
        words.append("There is no map of the clusters that the newest predictor learned from.")
    if published.has(RELATION, *COLUMNS):
        rows = published.ask(PROFILES).to_dicts()
        if rows:
            counts = published.ask(COUNT).row(0, named=True)
            words.insert(0, _counted(counts, len(rows)))
            tables.append(_profiles(rows[:NUM_OPEN], "Profiles of the largest clusters"))
            if len(rows) > NUM_OPEN:
                folded.append(_profiles(rows[NUM_OPEN:], "Profiles of further clusters"))
    else:
        words.append("There are no profiles of clusters yet: `edpipe score strategy` publishes them.")
    if run.estimators:
        tables.append(_estimators(run.estimators))
    if run.rounds is not None and len(run.rounds):
        folded.append(_rounds(run.rounds.to_dicts()))
    if not figures and not tables:
        return missing(NAME, TITLE, NOT_CLUSTERED)
    return Section(NAME, TITLE, words=words, figures=figures, tables=tables, folded=folded)


def _counted(counts: dict[str, Any], num_shown: int) -> str:
    shown = f"the {num_shown} largest" if counts["num_clusters"] > num_shown else "all"
    return (
        f"{whole(counts['num_clusters'])} clusters hold {whole(counts['num_attempts'])} attempts; the tables "
        f"show {shown}. The typical strategy is the most frequent one; entropy, in bits, is 0 where all "
        "attempts share it; symmetry, at most 1, says how alike in order the strategies are. Mastery is that "
        "of the cluster's students in the KCs they used in it."
    )


def _profiles(rows: list[dict[str, Any]], caption: str) -> Table:
    cells: list[list[Cell | str]] = [
        [
            str(row["cluster"]),
            Cell(
                whole(row["num_attempts"]),
                remark=", ".join(counted(row[f"num_{thing}s"], thing) for thing in ("student", "problem")),
            ),
            decimal(row["entropy"], 2),
            decimal(row["mean_mastery"], 2),
            decimal(row["symmetry"], 2),
            Cell(_strategy(row["typical_strategy"]), remark=_remark(row)),
        ]
        for row in rows
    ]
    columns = ["Cluster", "Attempts", "Entropy", "Mastery", "Symmetry", "Typical strategy"]
    return Table(columns, cells, caption=caption, numeric=frozenset(range(1, 5)))


def _strategy(kcs: list[str] | None) -> str:
    """Return KC names without their data set, at most a few of them, long ones without their middle."""
    if not kcs:
        return decimal(None)
    shown = " → ".join(_name(kc) for kc in kcs[:NUM_SHOWN_KCS])
    return shown if len(kcs) <= NUM_SHOWN_KCS else f"{shown} → … ({len(kcs)} KCs)"


def _name(kc_id: str) -> str:
    return without_middle(kc_id.partition("/")[2] or kc_id, LONGEST_KC)


def _remark(row: dict[str, Any]) -> str:
    parts = [f"{percent(row['typical_share'])} of its attempts"]
    for word, kcs in (("strongest", row["strongest_kcs"]), ("weakest", row["weakest_kcs"])):
        parts += [f"{word}: {_name(kcs[0])}"] if kcs else []
    return "; ".join(parts)


def _estimators(estimators: Sequence[Row]) -> Table:
    rows: list[list[Cell | str]] = []
    for one in estimators:
        span = {"low": one.get("log_loss_low"), "high": one.get("log_loss_high")}
        rows.append(
            [
                Cell(str(one["estimator"]), remark="used for the vectors" if one.get("is_used") else ""),
                Cell(decimal(one["log_loss"]), remark=interval(span)),
                decimal(one.get("auc")),
                decimal(one.get("rmse")),
                whole(one.get("num_steps")),
                decimal(one.get("seconds"), 2),
            ]
        )
    columns = ["Estimator of mastery", "Log loss ↓", "AUC ↑", "RMSE ↓", "Steps", "Seconds"]
    caption = "Estimators of mastery on held-out steps"
    return Table(columns, rows, caption=caption, numeric=frozenset(range(1, 6)))


def _rounds(rounds: list[dict[str, Any]]) -> Table:
    rows: list[list[Cell | str]] = [
        [
            Cell(str(one["round"]), remark="kept" if one["is_best"] else ""),
            str(one.get("refined") or ""),
            decimal(one["radius"]),
            whole(one["num_student_clusters"]),
            whole(one["num_problem_clusters"]),
            whole(one["num_clusters"]),
            Cell(decimal(one["symmetry"]), remark=interval(_span_of(one))),
            decimal(one["rand_index"], 2),
            decimal(one["median_size"], 1),
            decimal(one["validation"]),
        ]
        for one in rounds
    ]
    columns = [
        "Round",
        "Refined",
        "Radius",
        "Of students",
        "Of problems",
        "Clusters",
        "Symmetry",
        "Rand index",
        "Median size",
        "Validation",
    ]
    return Table(columns, rows, caption="Rounds of refinement", numeric=frozenset(range(2, 10)))


def _span_of(one: dict[str, Any]) -> Row:
    return {"low": one["symmetry_low"], "high": one["symmetry_high"]}
