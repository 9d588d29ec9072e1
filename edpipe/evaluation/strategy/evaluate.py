"""Evaluate a strategy predictor beside the baselines; open the test once a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import polars as pl

from edpipe.datasets.predicted import PredictedStrategies
from edpipe.datasets.strategy import Places, StrategyDataset
from edpipe.datasets.strategy_lengths import single_step_share, single_step_words
from edpipe.datasets.strategy_splits import StrategySplit
from edpipe.evaluation.results import EVALUATION_FOLDER, Evaluation, is_evaluated, record_opening
from edpipe.evaluation.strategy.baselines import StrategyBaseline, lookup, strategy_baselines
from edpipe.evaluation.strategy.groups import GROUPS, LEAST_HISTORY, mastery_groups
from edpipe.evaluation.strategy.score import SplitScores, score_strategies
from edpipe.mastery.embedding import Embedding
from edpipe.mastery.strategy_clusters import StrategyClusters
from edpipe.progress import track
from edpipe.settings import Settings

PAIRED_FILE = "paired.parquet"
EQUITY_FILE = "equity.parquet"
REFERENCE = "lookup"
# Above it a strategy is known rather than foretold; no published predictor is near.
PLAUSIBLE_EXACT_MATCH = 0.95
FEW_STUDENTS = 30
FEW_ATTEMPTS = 30

Predict = Callable[[Places], Mapping[str, PredictedStrategies]]


def evaluate_strategies(
    settings: Settings,
    run_dir: Path,
    *,
    dataset: StrategyDataset,
    split: StrategySplit,
    predict: Predict,
    data_fingerprint: str,
    sampled: Places | None = None,
    embedding: Embedding | None = None,
    clusters: StrategyClusters | None = None,
    baselines: Sequence[StrategyBaseline] | None = None,
) -> Evaluation:
    """Evaluate a run's predictor beside the baselines on validation and test attempts.

    Baselines learn from all training attempts; ``lookup_sampled`` is the lookup that learned from the
    sampled ones only, as the predictor did. The test is opened once: an evaluation of this run on this data
    is returned as it was stored, and every opening is written to a ledger in the run's folder before
    anything is predicted. ``paired.parquet`` (gains over the lookup) and ``equity.parquet`` (errors by KC
    and mastery group) are written beside the table.

    Parameters
    ----------
    settings
        Seed, bootstrap draws and how progress is shown.
    run_dir
        Folder of the training run; ``evaluation/`` below it is written.
    dataset, split
        Attempts and their parts.
    predict
        The predictors: rows of the validation or test part to predictions by model name.
    data_fingerprint
        Names the data and its split; another one means another evaluation.
    sampled
        Training attempts that the predictor learned from; by default all.
    embedding, clusters
        Made from the training attempts; without them, baselines that need them are left out.
    baselines
        What to compare with; by default all.
    """
    if is_evaluated(run_dir, data_fingerprint):
        return Evaluation.load(run_dir)
    num_openings = record_opening(run_dir, data_fingerprint)
    groups = mastery_groups(dataset, split.train)
    compared = (
        strategy_baselines(
            embedding=embedding, clusters=clusters, groups=groups.keys if groups.is_known else None
        )
        if baselines is None
        else list(baselines)
    )
    parts: dict[str, SplitScores] = {}
    sampled_lookup = None if sampled is None else lookup("lookup_sampled").fit(dataset, sampled)
    asked = {"valid": split.valid, "test": split.test}
    with track("Evaluate", total=len(compared) + 2, unit="models", mode=settings.progress) as work:
        for baseline in compared:
            work.note(baseline.name)
            baseline.fit(dataset, split.train)
            work.advance()
        named = [*compared, *([] if sampled_lookup is None else [sampled_lookup])]
        learned: list[str] = []
        for name, rows in asked.items():
            work.note(name)
            predictions = dict(predict(rows))
            learned = list(predictions)
            predictions |= {baseline.name: baseline.predict(dataset, rows) for baseline in named}
            parts[name] = score_strategies(
                dataset,
                predictions,
                split.train,
                split=name,
                groups=groups,
                reference=REFERENCE,
                num_draws=settings.strategy.bootstrap,
                seed=settings.seed,
            )
            work.advance()
    metrics = pl.concat([part.metrics for part in parts.values()])
    evaluation = Evaluation(
        metrics=metrics,
        calibration=parts["test"].calibration,
        warnings=(
            *filter(None, [single_step_words(single_step_share(dataset, split.rows))]),
            *_warnings(metrics, learned, parts["test"].paired),
        ),
        summary={
            "splits": list(parts),
            "split_kind": split.kind,
            "data_fingerprint": data_fingerprint,
            "seed": settings.seed,
            "num_draws": settings.strategy.bootstrap,
            "num_openings": num_openings,
            "num_training": len(split.train),
            "num_sampled": len(split.train if sampled is None else sampled),
            "least_history": LEAST_HISTORY,
            "groups": list(GROUPS) if groups.is_known else [],
            "baselines": [baseline.name for baseline in named],
            "models": [*learned, *(baseline.name for baseline in named)],
            "reference": REFERENCE,
        },
    )
    save_frames(
        run_dir,
        {
            PAIRED_FILE: pl.concat([part.paired for part in parts.values()]),
            EQUITY_FILE: pl.concat([part.equity for part in parts.values()]),
        },
    )
    evaluation.save(run_dir)
    return evaluation


def save_frames(run_dir: Path, frames: Mapping[str, pl.DataFrame]) -> None:
    """Write frames into the folder of the evaluation, each replaced by rename."""
    folder = run_dir / EVALUATION_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for name, frame in frames.items():
        frame.write_parquet(folder / f".{name}")
        (folder / f".{name}").replace(folder / name)


def verdicts(paired: pl.DataFrame, learned: Sequence[str]) -> Iterator[str]:
    """Say in words where each learned model is better than the lookup, and where the lookup is enough."""
    for model in learned:
        for subset in ("all", "seen_problems", "unseen_problems", "departures"):
            row = paired.filter(
                (pl.col("model") == model)
                & (pl.col("subset") == subset)
                & (pl.col("metric") == "exact_match")
                & (pl.col("split") == "test")
            )
            if not row.height:
                continue
            gain, low, high = row.select("difference", "low", "high").row(0)
            words = f"by {gain:+.3f} exact match ({low:+.3f} to {high:+.3f})"
            place = subset.replace("_", " ")
            if subset == "departures":
                yield (
                    f"On departures, where the lookup is wrong by definition, {model!r} reaches {gain:.3f} "
                    f"exact match ({low:.3f} to {high:.3f})."
                )
            elif low > 0:
                yield f"On {place}, {model!r} is better than the lookup {words}."
            elif high < 0:
                yield f"On {place}, the lookup is better than {model!r}: {words}."
            else:
                yield f"On {place}, the lookup, without parameters, is enough: {model!r} differs {words}."


def _warnings(metrics: pl.DataFrame, learned: Sequence[str], paired: pl.DataFrame) -> Iterator[str]:
    everything = metrics.filter((pl.col("subset") == "all") & (pl.col("metric") == "exact_match"))
    for model, split, value in everything.select("model", "split", "value").rows():
        if model in learned and value > PLAUSIBLE_EXACT_MATCH:
            yield (
                f"The exact match of {model!r} on the {split} split is {value:.3f}, above "
                f"{PLAUSIBLE_EXACT_MATCH}: a leak is likelier than a discovery. Check that no vector, mask "
                "or example comes from the attempts asked about."
            )
    worse = paired.filter(
        pl.col("model").is_in(list(learned))
        & (pl.col("subset") == "all")
        & (pl.col("metric") == "exact_match")
        & (pl.col("difference") < 0)
    )
    for model, difference, high in worse.select("model", "difference", "high").rows():
        certainty = "" if high < 0 else ", within the interval"
        yield (
            f"{model!r} has {-difference:.3f} less exact match on the test than `{REFERENCE}`, the most "
            f"frequent strategy of the problem{certainty}: the lookup is enough."
        )
    students = dict(everything.select("split", "num_students").rows())
    for split, number in students.items():
        if number < FEW_STUDENTS:
            yield (
                f"The {split} split has {number} students, fewer than {FEW_STUDENTS}: intervals over so few "
                "say little."
            )
    missing = [f"mastery:{name}" for name in GROUPS]
    known = set(metrics.filter(pl.col("split") == "test")["subset"].unique())
    if not known & set(missing):
        yield (
            "No mastery group could be formed: no student answers enough scored steps before the attempts "
            "asked about. Whether weak learners are served alike is not known."
        )
        return
    small = metrics.filter(
        (pl.col("split") == "test")
        & pl.col("subset").is_in(missing)
        & (pl.col("metric") == "exact_match")
        & (pl.col("num_interactions") < FEW_ATTEMPTS)
    )
    if small.height:
        names = ", ".join(small["subset"].str.strip_prefix("mastery:").unique().sort())
        yield (
            f"Fewer than {FEW_ATTEMPTS} test attempts lie in the mastery groups {names}: their scores, and "
            "the gaps between groups, say little."
        )
    if lacking := [name for name in missing if name not in known]:
        yield f"No test attempt lies in {', '.join(lacking)}: the gaps are between the other groups."
