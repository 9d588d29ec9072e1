"""Score tracers and baselines on the same rows; open the test split once a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import polars as pl

from edpipe.errors import ContractError
from edpipe.evaluation.baselines import Baseline, tracing_baselines
from edpipe.evaluation.bootstrap import METRICS, Scores, percentile_interval, score
from edpipe.evaluation.equity import GROUPS, NUM_FIRST, gap, mastery_groups, scored_rows
from edpipe.evaluation.metrics import calibration_curve
from edpipe.evaluation.results import (
    CALIBRATION_SCHEMA,
    METRIC_SCHEMA,
    Evaluation,
    is_evaluated,
    record_opening,
)
from edpipe.progress import track
from edpipe.settings import Settings

PREDICTION_COLUMNS = ("student_key", "interaction_number", "item_key", "is_correct", "probability")
KEY = ["student_key", "interaction_number"]
# First rows are drawn from harder moments than repeats, so a small gap is normal; a step that copies its
# sibling's answer moves the score by several hundredths.
SUSPICIOUS_REPEAT_GAIN = 0.02

Rows = tuple[str, pl.DataFrame]


def evaluate_predictions(
    predictions: Mapping[str, pl.DataFrame],
    *,
    mastery_groups: pl.DataFrame | None = None,
    num_draws: int = 200,
    seed: int = 7,
    split: str = "test",
    plausible_auc: float = 0.9,
) -> Evaluation:
    """Score every model's predictions of one split, all on the same rows.

    Subsets are ``all``, ``first_rows`` where the frame has ``is_first_row``, and ``mastery:low``,
    ``mastery:middle``, ``mastery:high``; ``mastery:gap`` holds the spread over groups of the false
    positive rate (predictive equality) and of the AUC.

    Parameters
    ----------
    predictions
        Model name to ``student_key, interaction_number, item_key, is_correct, probability``.
    mastery_groups
        As from :func:`edpipe.evaluation.equity.mastery_groups`; None leaves groups out.
    num_draws
        Student-level bootstrap draws; 0 gives no intervals.
    seed
        Seed of the draws, the same for every model.
    split
        Name of the split, for the table.
    plausible_auc
        An AUC above this is reported as a likely leak.

    Raises
    ------
    ContractError
        If a column is missing, a probability is not in [0, 1], or models differ in their rows.
    """
    _check_frames(predictions)
    rows: list[tuple[object, ...]] = []
    curves: list[tuple[object, ...]] = []
    warnings: list[str] = []
    for model, frame in predictions.items():
        scored = {
            subset: _score(part, num_draws, seed)
            for subset, part in _subsets(frame, mastery_groups)
            if len(part)
        }
        rows += [
            row for subset, scores in scored.items() for row in _metric_rows(model, split, subset, scores)
        ]
        rows += _gap_rows(model, split, scored)
        curves += _curve_rows(model, frame)
        warnings += _warnings(model, split, scored, plausible_auc)
    metrics = pl.DataFrame(rows, schema=METRIC_SCHEMA, orient="row")
    warnings += _beaten_by_majority(metrics, split)
    calibration = pl.DataFrame(curves, schema=CALIBRATION_SCHEMA, orient="row")
    return Evaluation(metrics, calibration, tuple(warnings), {"splits": [split], "seed": seed})


def evaluate_tracing(
    settings: Settings,
    run_dir: Path,
    *,
    examples: Callable[[], pl.DataFrame],
    item_kcs: pl.DataFrame,
    predict: Callable[[pl.DataFrame], Mapping[str, pl.DataFrame]],
    data_fingerprint: str,
    baselines: Sequence[Baseline] | None = None,
) -> Evaluation:
    """Evaluate a run's tracer beside the baselines on validation and test students.

    The test split is opened once: an evaluation of this run on this data is returned as it was stored,
    and every opening is written to a ledger in the run's folder before a test row is read.

    Parameters
    ----------
    settings
        Seed, bootstrap draws, the plausible AUC and how progress is shown.
    run_dir
        Folder of the training run; ``evaluation/`` below it is written.
    examples
        Reads ``student_key, split, interaction_number, item_key, is_correct`` of all three splits.
        Called only when the stored evaluation cannot be used.
    item_kcs
        ``item_key, kc_key``, one row a pair.
    predict
        The tracers: rows of the validation and test splits to prediction frames by model name.
    data_fingerprint
        Names the data and its split; another one means another evaluation.
    baselines
        What to compare with; by default all of :func:`edpipe.evaluation.baselines.tracing_baselines`.
    """
    if is_evaluated(run_dir, data_fingerprint):
        return Evaluation.load(run_dir)
    num_openings = record_opening(run_dir, data_fingerprint)
    frame = examples()
    asked = frame.filter(pl.col("split") != "train")
    predictions = dict(predict(asked))
    compared = tracing_baselines(seed=settings.seed) if baselines is None else baselines
    with track("Evaluate", total=len(compared) + 2, unit="models", mode=settings.progress) as work:
        for baseline in compared:
            work.note(baseline.name)
            predictions[baseline.name] = baseline.fit(frame, item_kcs).predict(asked)
            work.advance()
        work.note("metrics")
        parts = [
            _evaluate_split(settings, split, asked.filter(pl.col("split") == split), predictions)
            for split in ("valid", "test")
        ]
        work.advance(2)
    evaluation = Evaluation(
        metrics=pl.concat([part.metrics for part in parts]),
        calibration=parts[-1].calibration,
        warnings=tuple(warning for part in parts for warning in part.warnings),
        summary={
            "splits": ["valid", "test"],
            "data_fingerprint": data_fingerprint,
            "seed": settings.seed,
            "num_draws": settings.tracing.bootstrap,
            "num_openings": num_openings,
            "num_first": NUM_FIRST,
            "baselines": [baseline.name for baseline in compared],
            "models": list(predictions),
        },
    )
    evaluation.save(run_dir)
    return evaluation


def _evaluate_split(
    settings: Settings, split: str, rows: pl.DataFrame, predictions: Mapping[str, pl.DataFrame]
) -> Evaluation:
    students = rows.select("student_key").unique()
    chosen = {
        model: frame.join(
            students.select(pl.col("student_key").cast(frame.schema["student_key"])),
            on="student_key",
            how="semi",
        )
        for model, frame in predictions.items()
    }
    return evaluate_predictions(
        chosen,
        mastery_groups=mastery_groups(rows),
        num_draws=settings.tracing.bootstrap,
        seed=settings.seed,
        split=split,
        plausible_auc=settings.tracing.plausible_auc,
    )


def _check_frames(predictions: Mapping[str, pl.DataFrame]) -> None:
    """Refuse frames with missing columns and models that were scored on different rows."""
    reference: Rows | None = None
    for model, frame in predictions.items():
        missing = [name for name in PREDICTION_COLUMNS if name not in frame.columns]
        if missing:
            raise ContractError(
                "A prediction frame lacks columns.",
                where=f"predictions of {model!r}",
                found=", ".join(frame.columns),
                expected=", ".join(PREDICTION_COLUMNS),
            )
        rows = frame.select(pl.col(KEY).cast(pl.Int64), pl.col("is_correct").cast(pl.Boolean)).sort(KEY)
        if reference is None:
            reference = (model, rows)
        elif not rows.equals(reference[1]):
            raise ContractError(
                "Two models were not scored on the same rows.",
                where=f"predictions of {reference[0]!r} and {model!r}",
                found=f"{len(reference[1])} and {len(rows)} rows, or other answers",
                expected="the same students, interaction numbers and answers",
                next_step="Predict every model on the same table.",
            )


def _subsets(frame: pl.DataFrame, groups: pl.DataFrame | None) -> Iterator[Rows]:
    yield "all", frame
    if "is_first_row" in frame.columns:
        yield "first_rows", frame.filter(pl.col("is_first_row"))
    if groups is not None:
        for group in GROUPS:
            yield f"mastery:{group}", scored_rows(frame, groups, group)


def _score(frame: pl.DataFrame, num_draws: int, seed: int) -> Scores:
    # Row order must not matter to the draws: students are drawn by the order of their keys.
    return score(
        frame["student_key"].to_numpy(),
        frame["is_correct"].cast(pl.Boolean).to_numpy(),
        frame["probability"].cast(pl.Float64).to_numpy(),
        num_draws=num_draws,
        seed=seed,
    )


def _metric_rows(model: str, split: str, subset: str, scores: Scores) -> Iterator[tuple[object, ...]]:
    for metric in METRICS:
        counts = (scores.num_rows, scores.num_students)
        yield (model, split, subset, metric, scores.values[metric], *scores.interval(metric), *counts)


def _gap_rows(model: str, split: str, scored: Mapping[str, Scores]) -> Iterator[tuple[object, ...]]:
    groups = {subset: scores for subset, scores in scored.items() if subset.startswith("mastery:")}
    if len(groups) < len(GROUPS):
        return
    counts = (
        sum(scores.num_rows for scores in groups.values()),
        sum(scores.num_students for scores in groups.values()),
    )
    for metric in ("false_positive_rate", "auc"):
        value, draws = gap(groups, metric)
        yield (model, split, "mastery:gap", metric, value, *percentile_interval(draws), *counts)


def _curve_rows(model: str, frame: pl.DataFrame) -> Iterator[tuple[object, ...]]:
    curve = calibration_curve(
        frame["is_correct"].cast(pl.Boolean).to_numpy(), frame["probability"].cast(pl.Float64).to_numpy()
    )
    columns = (curve.bin, curve.predicted, curve.observed, curve.count)
    for number, predicted, observed, count in zip(*(column.tolist() for column in columns), strict=True):
        yield (model, number, predicted, observed, count)


def _warnings(model: str, split: str, scored: Mapping[str, Scores], plausible_auc: float) -> Iterator[str]:
    everything = scored["all"].values["auc"]
    if everything > plausible_auc:
        yield (
            f"The AUC of {model!r} on the {split} split is {everything:.3f}, above {plausible_auc:.2f}: "
            "a leak is likelier than a discovery. Check that no step sees its own answer."
        )
    if "first_rows" in scored:
        gain = everything - scored["first_rows"].values["auc"]
        if gain > SUSPICIOUS_REPEAT_GAIN:
            yield (
                f"{model!r} scores {gain:.3f} AUC higher on all rows of the {split} split than on the first "
                "row of each problem: later rows of a problem repeat its answer and show it to the model. "
                "Quote the score on first rows."
            )


def _beaten_by_majority(metrics: pl.DataFrame, split: str) -> Iterator[str]:
    losses = metrics.filter((pl.col("subset") == "all") & (pl.col("metric") == "log_loss"))
    loss = dict(losses.select("model", "value").rows())
    for model, value in loss.items():
        if model != "majority" and value > loss.get("majority", float("inf")):
            yield (
                f"{model!r} has a log loss of {value:.3f} on the {split} split, worse than the constant "
                f"prediction of `majority` ({loss['majority']:.3f})."
            )
