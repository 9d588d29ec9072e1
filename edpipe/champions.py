"""The champions of all families: which there are, and how well they serve each mastery group."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edpipe.families.runs import finished_runs, is_scored
from edpipe.learning import MODELS, versions
from edpipe.settings import Settings

if TYPE_CHECKING:
    import polars as pl

    from edpipe.tracking.registry import ModelVersion


def champions(settings: Settings) -> list[ModelVersion]:
    """Return the champion of each family that has one; the registry is asked about evaluated ones only."""
    evaluated = [model for model in MODELS if any(is_scored(run) for run in finished_runs(settings, model))]
    known = [one for model in evaluated for one in versions(model, settings)]
    return [one for one in known if "champion" in one.aliases]


def equity(settings: Settings) -> pl.DataFrame:
    """Return how well each champion and its baselines served each mastery group of the test part.

    Returns
    -------
    polars.DataFrame
        ``family, version, model, subset, metric, value, low, high, num_interactions, num_students``: subsets
        are ``mastery:low``, … and what compares them, such as ``mastery:gap``. Families without mastery
        groups have no row.
    """
    import polars as pl

    from edpipe.evaluation.results import METRIC_SCHEMA, Evaluation

    found = [pl.DataFrame(schema={"family": pl.String, "version": pl.Int64, **METRIC_SCHEMA})]
    for one in champions(settings):
        rows = Evaluation.load(settings.runs_dir / one.run_key).metrics.filter(
            pl.col("subset").str.starts_with("mastery:"), pl.col("split") == "test"
        )
        named = (pl.lit(one.name).alias("family"), pl.lit(one.version, pl.Int64).alias("version"))
        found.append(rows.select(*named, pl.all()))
    return pl.concat(found).drop("split")
