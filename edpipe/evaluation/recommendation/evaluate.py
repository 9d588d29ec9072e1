"""Score a recommender and its floors on the same rows; open the test split once a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import polars as pl

from edpipe.errors import ContractError
from edpipe.evaluation.bootstrap import Scores, percentile_interval
from edpipe.evaluation.metrics import Int, calibration_curve
from edpipe.evaluation.recommendation.floors import ClickFloor, ItemRate, StudentItemLogistic
from edpipe.evaluation.recommendation.scores import METRICS, score_clicks
from edpipe.evaluation.recommendation.stored import HISTORIES, PAIRED_FILE, PLANTED, history_name
from edpipe.evaluation.results import (
    CALIBRATION_SCHEMA,
    EVALUATION_FOLDER,
    METRIC_SCHEMA,
    Evaluation,
    is_evaluated,
    record_opening,
)
from edpipe.progress import track
from edpipe.settings import Settings

Part = Literal["valid", "test"]
PARTS: Final[tuple[Part, ...]] = ("valid", "test")
PAIRED_METRICS: Final = ("auc", "grouped_auc", "log_loss")
PAIRED_SCHEMA: Final = {
    "model": pl.String,
    "reference": pl.String,
    "split": pl.String,
    "subset": pl.String,
    "metric": pl.String,
    "difference": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
}
# The truth is beaten by luck, and by knowing that items met later are never shown, but not by this much.
SUSPICIOUS_GAIN: Final = 0.02
ROW: Final = ("student", "request", "item", "clicked")


@dataclass(frozen=True, slots=True)
class Compared:
    """What an evaluation of a recommender is about.

    Attributes
    ----------
    model
        Name of the recommender.
    networks
        Name of each network, the recommender first, to a function from a part of the split to its rows with
        probabilities: ``student, request, item, history, clicked, probability``.
    training_rows
        Training rows for the plain floors: ``student, item, history, clicked``.
    popularity
        How often training rows hold each item of the catalog.
    num_students
        Number of students.
    planted
        The true chances of rows, where data are synthetic and these are known.
    """

    model: str
    networks: Mapping[str, Callable[[Part], pl.DataFrame]]
    training_rows: Callable[[], pl.DataFrame]
    popularity: Int
    num_students: int
    planted: Callable[[pl.DataFrame], pl.Series] | None = None


def evaluate_recommender(
    settings: Settings, run_dir: Path, compared: Callable[[], Compared], *, data_fingerprint: str
) -> Evaluation:
    """Evaluate a run's recommender beside its floors on validation and test rows.

    The test is opened once: an evaluation of this run on this data is returned as it was stored, and every
    opening is written to a ledger in the run's folder before a test row is read. Beside the evaluation is
    written ``paired.parquet``: the model minus each other on each subset, by draws of the same students.

    Parameters
    ----------
    settings
        Seed, draws, floors and how progress is shown.
    run_dir
        Folder of the training run; ``evaluation/`` below it is written.
    compared
        Gives what is compared; called only when the stored evaluation cannot be used.
    data_fingerprint
        Names the data and its split; another one means another evaluation.
    """
    if is_evaluated(run_dir, data_fingerprint):
        return Evaluation.load(run_dir)
    about = compared()
    num_openings = record_opening(run_dir, data_fingerprint)
    floors = _floors(settings, about)
    num_models = len(about.networks) + len(floors) + (about.planted is not None)
    parts = []
    with track("Evaluate", total=2 * num_models, unit="models", mode=settings.progress) as work:
        for part in PARTS:
            frames = _predictions(part, about, floors, work.advance)
            parts.append(_Scored.of(part, about.model, frames, settings))
    metrics = pl.concat([part.metrics for part in parts])
    paired = pl.concat([part.paired for part in parts])
    evaluation = Evaluation(
        metrics=metrics,
        calibration=parts[-1].calibration,
        warnings=tuple(_warnings(metrics, about.model)),
        summary={
            "splits": list(PARTS),
            "data_fingerprint": data_fingerprint,
            "seed": settings.seed,
            "num_draws": settings.diffumin.bootstrap,
            "num_openings": num_openings,
            "baselines": [
                name for name in metrics["model"].unique(maintain_order=True) if name != about.model
            ],
            "models": metrics["model"].unique(maintain_order=True).to_list(),
        },
    )
    _save_paired(run_dir, paired)
    evaluation.save(run_dir)
    return evaluation


def _floors(settings: Settings, about: Compared) -> list[ClickFloor]:
    asked = settings.diffumin.floors
    if not {"item_rate", "logistic"} & set(asked):
        return []
    rows = about.training_rows()
    floors: list[ClickFloor] = []
    if "item_rate" in asked:
        floors.append(ItemRate(rows, len(about.popularity)))
    if "logistic" in asked:
        floors.append(StudentItemLogistic(rows, about.popularity, about.num_students))
    return floors


def _predictions(
    part: Part, about: Compared, floors: list[ClickFloor], advance: Callable[[int], None]
) -> dict[str, pl.DataFrame]:
    """Return the rows of a part with the probabilities of each model, the same rows for all."""
    frames: dict[str, pl.DataFrame] = {}
    for name, predict in about.networks.items():
        frames[name] = predict(part)
        advance(1)
    rows = frames[about.model]
    for floor in floors:
        frames[floor.name] = rows.with_columns(probability=floor.predict(rows))
        advance(1)
    if about.planted is not None:
        frames[PLANTED] = rows.with_columns(about.planted(rows).alias("probability"))
        advance(1)
    for name, frame in frames.items():
        if not frame.select(ROW).equals(rows.select(ROW)):
            raise ContractError(
                "Two models were not scored on the same rows.",
                where=f"predictions of {about.model!r} and {name!r}",
                found=f"{len(rows):,} and {len(frame):,} rows, or others",
                expected="the same students, requests, items and labels",
            )
    return frames


@dataclass(frozen=True, slots=True)
class _Scored:
    """Scores of one part of the split."""

    metrics: pl.DataFrame
    paired: pl.DataFrame
    calibration: pl.DataFrame

    @classmethod
    def of(cls, part: Part, model: str, frames: Mapping[str, pl.DataFrame], settings: Settings) -> _Scored:
        rows: list[tuple[object, ...]] = []
        curves: list[tuple[object, ...]] = []
        found: dict[tuple[str, str], Scores] = {}
        for name, frame in frames.items():
            for subset, chosen in _subsets(frame):
                found[name, subset] = scores = _score(chosen, settings.diffumin.bootstrap, settings.seed)
                rows += _metric_rows(name, part, subset, scores)
            curves += _curve_rows(name, frame)
        # A subset holds the same rows for all models, so equal draws hold equal students there, too.
        pairs = [
            (model, name, part, subset, metric, *_difference(found[model, subset], scores, metric))
            for (name, subset), scores in found.items()
            if name != model
            for metric in PAIRED_METRICS
        ]
        return cls(
            pl.DataFrame(rows, schema=METRIC_SCHEMA, orient="row"),
            pl.DataFrame(pairs, schema=PAIRED_SCHEMA, orient="row"),
            pl.DataFrame(curves, schema=CALIBRATION_SCHEMA, orient="row"),
        )


def subset_metrics(model: str, part: Part, frame: pl.DataFrame, *, num_draws: int, seed: int) -> pl.DataFrame:
    """Return every metric of one model over all rows and by the length of the history.

    Parameters
    ----------
    model, part
        Names, for the table.
    frame
        ``student, history, clicked, probability``, one row an impression.
    num_draws, seed
        Draws of students for the intervals; none leaves these open.
    """
    rows: list[tuple[object, ...]] = []
    for subset, chosen in _subsets(frame):
        rows += _metric_rows(model, part, subset, _score(chosen, num_draws, seed))
    return pl.DataFrame(rows, schema=METRIC_SCHEMA, orient="row")


def _subsets(frame: pl.DataFrame) -> Iterator[tuple[str, pl.DataFrame]]:
    yield "all", frame
    for low, high in HISTORIES:
        chosen = frame.filter(
            (pl.col("history") >= low) & (pl.lit(value=True) if high is None else pl.col("history") <= high)
        )
        if len(chosen):
            yield history_name(low, high), chosen


def _score(frame: pl.DataFrame, num_draws: int, seed: int) -> Scores:
    return score_clicks(
        frame["student"].to_numpy(),
        frame["clicked"].to_numpy(),
        frame["probability"].cast(pl.Float64).to_numpy(),
        num_draws=num_draws,
        seed=seed,
    )


def _metric_rows(model: str, part: Part, subset: str, scores: Scores) -> Iterator[tuple[object, ...]]:
    for metric in METRICS:
        counts = (scores.num_rows, scores.num_students)
        yield (model, part, subset, metric, scores.values[metric], *scores.interval(metric), *counts)


def _difference(ours: Scores, theirs: Scores, metric: str) -> tuple[float, float, float]:
    draws = ours.draws[metric] - theirs.draws[metric]
    return ours.values[metric] - theirs.values[metric], *percentile_interval(draws)


def _curve_rows(model: str, frame: pl.DataFrame) -> Iterator[tuple[object, ...]]:
    curve = calibration_curve(frame["clicked"].to_numpy(), frame["probability"].cast(pl.Float64).to_numpy())
    columns = (curve.bin, curve.predicted, curve.observed, curve.count)
    for number, predicted, observed, count in zip(*(column.tolist() for column in columns), strict=True):
        yield (model, number, predicted, observed, count)


def _warnings(metrics: pl.DataFrame, model: str) -> Iterator[str]:
    """Say what is too good to be true: more than who knows the planted truth."""
    aucs = metrics.filter(split="test", subset="all", metric="auc")
    known = dict(aucs.select("model", "value").rows())
    best = known.get(PLANTED)
    if best is not None and known[model] > best + SUSPICIOUS_GAIN:
        yield (
            f"The test AUC of {model!r} is {known[model]:.3f}, that of the planted truth {best:.3f}: a leak "
            "is likelier than a discovery. Check that no row sees its own target."
        )


def _save_paired(run_dir: Path, paired: pl.DataFrame) -> None:
    folder = run_dir / EVALUATION_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    scratch = folder / f".{PAIRED_FILE}"
    paired.write_parquet(scratch)
    scratch.replace(folder / PAIRED_FILE)
