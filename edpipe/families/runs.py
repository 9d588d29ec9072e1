"""Finished runs on disk: of which family they are, which is the newest, how their models compare."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from edpipe.advice import train_command
from edpipe.errors import TrainingError

if TYPE_CHECKING:
    import polars as pl

    from edpipe.settings import Settings

RUN_FILE = "run.json"
SUMMARY_PATH = Path("evaluation") / "summary.json"


def model_of(run_dir: Path) -> str:
    """Return the family of a finished run; runs written before there were two are of tracing."""
    facts = json.loads((run_dir / RUN_FILE).read_text(encoding="utf-8"))
    return str(facts.get("model", "tracing"))


def finished_runs(settings: Settings, model: str | None = None) -> list[Path]:
    """Return the folders of the finished runs of a family, or of all."""
    found = sorted(path.parent for path in settings.runs_dir.glob(f"*/{RUN_FILE}"))
    return [folder for folder in found if model is None or model_of(folder) == model]


def is_scored(run_dir: Path) -> bool:
    """Tell whether the run has been evaluated."""
    return (run_dir / SUMMARY_PATH).exists()


def newest_run(settings: Settings, model: str | None = None, *, evaluated: bool = False) -> Path:
    """Return the folder of the run that was finished last.

    Parameters
    ----------
    settings
        Where the runs are.
    model
        Family; by default any.
    evaluated
        Prefer runs that were scored.

    Raises
    ------
    TrainingError
        If none was finished.
    """
    finished = finished_runs(settings, model)
    if not finished:
        raise TrainingError(
            f"No {'model' if model is None else f'{model} model'} has been trained yet.",
            where=str(settings.runs_dir),
            expected="the folder of a finished run",
            next_step=f"Run `{train_command(settings, model or 'tracing')}`.",
        )
    if evaluated:
        finished = [one for one in finished if is_scored(one)] or finished
    return max(finished, key=lambda folder: (folder / RUN_FILE).stat().st_mtime_ns)


def run_lines(settings: Settings, model: str) -> list[str]:
    """Say which runs of a family exist; nothing where there is none."""
    finished = finished_runs(settings, model)
    if not finished:
        return []
    scored = [run for run in finished if is_scored(run)]
    newest = newest_run(settings, model)
    told = [f"Training runs of {model}: {len(finished)}, of them {len(scored)} evaluated; newest {newest}."]
    if newest not in scored:
        told.append(f"The newest run is not evaluated: run `edpipe evaluate {model}`.")
    return told


def comparison_of(
    run_dir: Path,
    titles: Mapping[str, str],
    *,
    split: str = "test",
    subset: str = "all",
    lowest_first: bool = False,
) -> pl.DataFrame:
    """Return one row a model: each metric with its interval, best of the first metric first.

    Metrics that were not measured have no column; a model that a metric does not apply to has no value.
    """
    import polars as pl

    from edpipe.evaluation.results import Evaluation

    rows = Evaluation.load(run_dir).metrics.filter(
        (pl.col("split") == split) & (pl.col("subset") == subset) & pl.col("metric").is_in(list(titles))
    )
    headline = next(iter(titles))
    number = pl.col("value").round(3).cast(pl.String)
    interval = pl.format(
        "{} [{}, {}]", number, *(pl.col(name).round(3).cast(pl.String) for name in ("low", "high"))
    )
    text = pl.when(pl.col("value").is_nan()).then(None).when(pl.col("low").is_nan()).then(number)
    best_first = (
        rows.filter(pl.col("metric") == headline)
        .sort("value", "model", descending=[not lowest_first, False], nulls_last=True)
        .select("model")
    )
    wide = rows.with_columns(text=text.otherwise(interval)).pivot("metric", index="model", values="text")
    measured = [name for name in titles if name in wide.columns]
    return best_first.join(wide, on="model", maintain_order="left").select(
        "model", *(pl.col(name).alias(titles[name]) for name in measured)
    )
