"""Evaluation of a trained recommender, and of a champion on another's validation rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from edpipe.datasets.impressions_source import impression_dataset
from edpipe.errors import RegistryError
from edpipe.evaluation.recommendation.evaluate import Compared, Part, evaluate_recommender, subset_metrics
from edpipe.evaluation.recommendation.stored import CHANNELS_FILE, EXAMPLE_FILE
from edpipe.evaluation.results import EVALUATION_FOLDER
from edpipe.families.diffumin_channels import channel_table
from edpipe.families.diffumin_example import example_table
from edpipe.families.raw_data import refuse_changed_data
from edpipe.prediction.diffumin import drawn_rows, load_recommender, predict_split
from edpipe.tracking.validation import validation_of
from edpipe.training.diffumin import train_diffumin
from edpipe.training.diffumin_plan import settings_asked
from edpipe.training.run import read_run

if TYPE_CHECKING:
    import polars as pl

    from edpipe.datasets.impressions import ImpressionDataset
    from edpipe.evaluation.results import Evaluation
    from edpipe.settings import Settings
    from edpipe.tracking.registry import ModelVersion
    from edpipe.training.run import TrainingRun

# Networks that stand beside the model, kept in its folder: they are no runs to choose from.
FLOORS_FOLDER: Final = "floors"
# What differs from the model; rows, seed and training are the same. The preset is the default one: that of
# the paper leaves the target item to the interests, which a floor has not.
FLOOR_NETWORKS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "no_behaviors": ("no behaviors", {"long_term": "none", "short_term_window": 0}),
    "mean_pooling": ("mean pooling", {"long_term": "mean"}),
}
# Training requests that the floors without a network are fitted on.
MAX_REQUESTS: Final = 1_000_000


def evaluated_run(settings: Settings, run: TrainingRun) -> tuple[ImpressionDataset, Evaluation]:
    """Score a run beside its floors on the data that it was trained on.

    Floors that are networks are trained first, on the same rows, with the same seed and as many epochs at
    most, and only if the test of this run has not been opened yet.

    Raises
    ------
    TrainingError
        If the data have changed since the run was trained.
    """
    asked = settings_asked(settings, run)
    dataset = impression_dataset(asked)
    refuse_changed_data(run, dataset.fingerprint)
    evaluation = evaluate_recommender(
        asked,
        run.run_dir,
        lambda: _compared(asked, run, dataset),
        data_fingerprint=run.fingerprint,
    )
    _look_inside(settings, asked, run, dataset)
    return dataset, evaluation


def _look_inside(settings: Settings, asked: Settings, run: TrainingRun, dataset: ImpressionDataset) -> None:
    """Write, beside the evaluation, how channels are loaded and an example student, where they are not yet.

    What is recommended is as the present settings say, the rest as the run's.
    """
    folder = run.run_dir / EVALUATION_FOLDER
    tables: dict[str, Callable[[], pl.DataFrame | None]] = {
        CHANNELS_FILE: lambda: channel_table(run, dataset, seed=asked.seed),
        EXAMPLE_FILE: lambda: example_table(settings, run, dataset),
    }
    for name, make in tables.items():
        if (folder / name).exists() or (table := make()) is None:
            continue
        table.write_parquet(folder / f".{name}")
        (folder / f".{name}").replace(folder / name)


def _compared(settings: Settings, run: TrainingRun, dataset: ImpressionDataset) -> Compared:
    model = str(run.options["model"])
    networks = {model: _predictor(settings, run, dataset)}
    for floor, (name, changes) in FLOOR_NETWORKS.items():
        if floor not in settings.diffumin.floors or all(
            getattr(settings.diffumin, key) == value for key, value in changes.items()
        ):
            continue
        plainer = settings.model_copy(
            update={"diffumin": settings.diffumin.model_copy(update={**changes, "preset": "default"})}
        )
        floor_run = train_diffumin(plainer, dataset=dataset, runs_dir=run.run_dir / FLOORS_FOLDER)
        networks[name] = _predictor(settings, floor_run, dataset)
    encoder = load_recommender(run.run_dir).encoder(dataset)
    return Compared(
        model=model,
        networks=networks,
        training_rows=lambda: drawn_rows(encoder, "train", most_requests=MAX_REQUESTS, seed=settings.seed),
        popularity=np.array(dataset.columns["popularity"]).astype(np.int64),
        num_students=dataset.num_students,
        planted=planted_of(settings, dataset) if settings.diffumin.planted else None,
    )


def planted_of(settings: Settings, dataset: ImpressionDataset) -> Callable[[pl.DataFrame], pl.Series]:
    """Return the true chances of rows of a synthetic log; ids are its numbers behind its name."""
    import polars as pl

    from edpipe.evaluation.recommendation.planted import planted_chances
    from edpipe.sources.synthetic import read_truth
    from edpipe.warehouse import query

    truth = read_truth(Path(settings.diffumin.planted))
    known = query(settings, "select student_key, student_id from core.students")
    students = pl.DataFrame({"student_key": np.array(dataset.columns["student_key"])}).join(
        known.with_columns(pl.col("student_key").cast(pl.Int64)), on="student_key", maintain_order="left"
    )

    def chances(rows: pl.DataFrame) -> pl.Series:
        found = planted_chances(
            rows,
            dataset,
            truth,
            student_numbers=_numbers(students["student_id"]),
            item_numbers=_numbers(dataset.catalog["item_id"]),
            negatives=settings.recommendation.negatives,
        )
        return pl.Series(found)

    return chances


def _numbers(ids: pl.Series) -> NDArray[np.int64]:
    """Return what stands behind the colon of published ids."""
    found: NDArray[np.int64] = ids.str.split(":").list.last().cast(int).to_numpy().astype(np.int64)
    return found


def _predictor(
    settings: Settings, run: TrainingRun, dataset: ImpressionDataset
) -> Callable[[Part], pl.DataFrame]:
    def predict(part: Part) -> pl.DataFrame:
        trained = load_recommender(run.run_dir, accelerator=settings.diffumin.accelerator)
        return predict_split(trained, dataset, part)

    return predict


def validation_scores_of(
    settings: Settings, champion: ModelVersion, candidate: ModelVersion
) -> dict[str, float]:
    """Measure a registered recommender on the validation rows of another's run.

    Raises
    ------
    RegistryError
        If it foretells another target.
    """
    run = read_run(settings.runs_dir / candidate.run_key)
    dataset = impression_dataset(settings_asked(settings, run))
    refuse_changed_data(run, dataset.fingerprint)
    held = load_recommender(settings.runs_dir / champion.run_key, accelerator=settings.diffumin.accelerator)
    known, wanted = (held.data["source"], held.data["target"]), (run.source, dataset.options.target)
    if known != wanted:
        raise RegistryError(
            "The champion foretells something else, so the two scores cannot be compared.",
            where=f"versions {champion.version} and {candidate.version} of `{candidate.name}`",
            found=f"champion: {known[1]} of {known[0]}",
            expected=f"{wanted[1]} of {wanted[0]}",
            next_step="Keep models of other targets in another home, or with another MLflow server.",
            state="No alias was moved.",
        )
    # The same rows as the candidate's: its negatives, drawn by its seed.
    frame = predict_split(
        held.asked_like(load_recommender(settings.runs_dir / candidate.run_key)), dataset, "valid"
    )
    metrics = subset_metrics("champion", "valid", frame, num_draws=0, seed=settings.seed)
    return dict(validation_of(settings, candidate.name, metrics).scores)
