"""Assemble the report and replace the old one by rename."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import polars as pl

from edpipe.advice import train_command
from edpipe.evaluation.report.activity import activity
from edpipe.evaluation.report.curve import training
from edpipe.evaluation.report.drift import drift, drift_warnings
from edpipe.evaluation.report.equity import equity
from edpipe.evaluation.report.forecast_run import ForecastRun, read_forecast_run
from edpipe.evaluation.report.forecast_scores import forecast_figure
from edpipe.evaluation.report.forecasts import forecast_warnings, forecasts
from edpipe.evaluation.report.intervals import interval
from edpipe.evaluation.report.learning import learning
from edpipe.evaluation.report.numbers import decimal
from edpipe.evaluation.report.overview import overview
from edpipe.evaluation.report.page import Page
from edpipe.evaluation.report.published import Published, Query
from edpipe.evaluation.report.recommend_run import RecommendRun, read_recommend_run
from edpipe.evaluation.report.recommend_scores import recommend_figure
from edpipe.evaluation.report.recommendations import recommend_warnings, recommendations
from edpipe.evaluation.report.scores import beaten, scores
from edpipe.evaluation.report.strategies import strategies, strategy_warnings
from edpipe.evaluation.report.strategy_run import StrategyRun, read_strategy_run
from edpipe.evaluation.report.strategy_scores import strategy_figure
from edpipe.evaluation.report.trained import Trained, read_trained
from edpipe.progress import track
from edpipe.raw import landed
from edpipe.settings import Settings

REPORT_FILE = "report.html"
# One table of each family: those of a family are written together.
SCORED = (
    "predictions.kc_mastery",
    "predictions.strategies",
    "predictions.activity_forecasts",
    "predictions.recommendations",
)
MODELS = "select distinct model_name, model_version from {relation} order by all"
# What was asked for is what the rest of a run's facts tell.
NOT_SHOWN = ("format", "run_key", "asked")
NO_LICENCE = "none: "


def write_report(
    settings: Settings,
    *,
    run_dir: Path | None,
    strategy_run_dir: Path | None = None,
    forecast_run_dir: Path | None = None,
    recommend_run_dir: Path | None = None,
    output: Path | None = None,
    query: Query | None = None,
) -> Path:
    """Write the report of what is published and of one training run a family of models.

    The file loads nothing and holds no script, so it may be mailed, archived or printed. Parts that do
    not exist yet are said to be missing; the file is replaced by rename, so a reader never sees half of it.

    Parameters
    ----------
    settings
        Where things are, and how progress is shown.
    run_dir
        Folder of the tracer's training run to report; None where none has been trained.
    strategy_run_dir
        Folder of the strategy predictor's training run to report; None where none has been trained.
    forecast_run_dir
        Folder of the forecaster's training run to report; None where none has been trained.
    recommend_run_dir
        Folder of the recommender's training run to report; None where none has been trained.
    output
        HTML file; by default ``<home>/reports/report.html``.
    query
        Answers SQL over the published tables; by default :func:`edpipe.warehouse.query`.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    ContractError
        If nothing has been published yet and no run is given.
    """
    output = output or settings.reports_dir / REPORT_FILE
    has_run = any((run_dir, strategy_run_dir, forecast_run_dir, recommend_run_dir))
    published = Published(query or _published_query(settings, is_needed=not has_run))
    trained = read_trained(run_dir, command=train_command(settings))
    predictor = read_strategy_run(strategy_run_dir, settings)
    forecaster = read_forecast_run(forecast_run_dir, settings)
    recommender = read_recommend_run(recommend_run_dir, settings)
    text = _page(settings, published, trained, predictor, forecaster, recommender).render()
    output.parent.mkdir(parents=True, exist_ok=True)
    temporary = output.with_name(f".{output.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(output)
    return output


def _published_query(settings: Settings, *, is_needed: bool) -> Query:
    if not is_needed and not settings.published_path.exists():
        # Who learned from a file of their own has models and no warehouse.
        return lambda _: pl.DataFrame(schema={"relation": pl.String, "column_name": pl.String})
    # The warehouse brings DuckDB and SQLMesh with it; a caller with its own query needs neither.
    from edpipe import warehouse

    return lambda sql: warehouse.query(settings, sql)


def _page(
    settings: Settings,
    published: Published,
    trained: Trained,
    predictor: StrategyRun,
    forecaster: ForecastRun,
    recommender: RecommendRun,
) -> Page:
    with track("Report", total=7, unit="parts", mode=settings.progress) as work:
        head = overview(published)
        work.advance()
        active = activity(published)
        work.advance()
        learned = learning(published)
        work.advance()
        checks, sources = head.sections
        sections = [checks, sources, active, scores(trained), learned, equity(trained), training(trained)]
        work.advance()
        sections += strategies(published, predictor)
        work.advance()
        sections += forecasts(forecaster)
        work.advance()
        sections += [*recommendations(recommender), *drift(settings)]
        work.advance()
    warnings = [
        *head.warnings,
        *beaten(trained),
        *(trained.evaluation.warnings if trained.evaluation else ()),
        *strategy_warnings(predictor),
        *forecast_warnings(forecaster),
        *recommend_warnings(recommender),
        *drift_warnings(settings),
    ]
    return Page(
        title="Learning data report",
        subtitle=head.subtitle,
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        model=_scored_by(published),
        licences=_licences(settings),
        key_figures=[
            *head.key_figures,
            *_model_figures(trained),
            *strategy_figure(predictor),
            *forecast_figure(forecaster),
            *recommend_figure(recommender),
        ],
        warnings=warnings,
        sections=sections,
        details=_details(trained, predictor.trained, forecaster.trained, recommender.trained),
    )


def _licences(settings: Settings) -> list[str]:
    """Say whose data are under which licence, each licence once."""
    sources: dict[str, list[str]] = {}
    for manifest in landed(settings.raw_dir):
        if manifest.licence and manifest.source not in sources.setdefault(manifest.licence, []):
            sources[manifest.licence].append(manifest.source)
    return [
        f"Data of {' and '.join(names)}: {rest}, bound by no licence"
        if (rest := licence.removeprefix(NO_LICENCE)) != licence
        else f"Data of {' and '.join(names)}: {licence}"
        for licence, names in sources.items()
    ]


def _model_figures(trained: Trained) -> list[tuple[str, str, str]]:
    if not trained.learned:
        return []
    rows = trained.scores("all").to_dicts()
    tracer = trained.learned[0]
    row = next(row for row in rows if row["model"] == tracer and row["metric"] == "auc")
    return [(f"{str(trained.split).capitalize()} AUC", decimal(row["value"]), f"{tracer}, {interval(row)}")]


def _details(*runs: Trained) -> list[tuple[str, str]]:
    facts = [("edpipe", version("edpipe"))]
    for run in runs:
        if run.key:
            facts.append(("run", run.key))
        if run.evaluation and (openings := run.evaluation.summary.get("num_openings")):
            facts.append(("test split opened", f"{openings} time{'s' if openings != 1 else ''} for this run"))
        facts += [
            (name.replace("_", " "), text)
            for name, value in _counted_from_1(run.facts).items()
            if name not in NOT_SHOWN and (text := _plain(value))
        ]
    return facts


def _counted_from_1(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts of a run with the best epoch as it is shown; 0 is before training."""
    best = facts.get("best_epoch")
    return {**facts, "best_epoch": best + 1} if isinstance(best, int) else dict(facts)


def _plain(value: object) -> str:
    if isinstance(value, dict):
        shown = {name: inner for name, inner in value.items() if name not in NOT_SHOWN}
        return ", ".join(f"{name} {_plain(inner)}" for name, inner in shown.items())
    if isinstance(value, list):
        return ", ".join(_plain(inner) for inner in value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _scored_by(published: Published) -> str:
    """Name the registered models whose predictions are published."""
    rows = [
        row
        for relation in SCORED
        if published.has(relation, "model_name", "model_version")
        for row in published.ask(MODELS.format(relation=relation)).rows()
    ]
    return ", ".join(f"{name} version {number}" for name, number in rows)
