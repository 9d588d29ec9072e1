"""What the prediction tables mean; batch scoring writes them, no SQL model makes them."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class PredictionContract:
    """Meaning of one prediction table, and the command that makes it."""

    description: str
    made_by: str = "edpipe score"
    grain: str = ""
    columns: dict[str, str] = field(default_factory=dict)
    upstream: tuple[str, ...] = ()


NAMED = re.compile(r'\bpredictions"?\s*\.\s*"?(\w+)', re.I)
ATTEMPT = {
    "source": "Source of the logs.",
    "student_id": "Published id of the student.",
    "section_id": "Published id of the section.",
    "problem_id": "Published id of the problem.",
    "problem_view": "1 when the student meets the problem first, 2 the second time, and so on.",
}
MODEL = {
    "model_name": "Registered model.",
    "model_version": "Its version.",
    "scored_at": "When it was scored, UTC.",
}
STRATEGY_INPUTS = ("training.strategy_examples", "features.mastery_edges")
CONTRACTS = {
    "kc_mastery": PredictionContract(
        made_by="edpipe score tracing",
        description="Each student's mastery of each KC as the champion sees it, after all answers.",
        grain="source, student_id, kc_id",
        columns={
            "student_id": "Published id of the student.",
            "source": "Source of the answers.",
            "kc_id": "Published id of the KC.",
            "mastery": "Mean probability, in [0, 1], of a right answer to the KC's most practised items now.",
            "num_opportunities": "Answers of the student to items with the KC so far; 0: never met.",
            **MODEL,
        },
        upstream=("training.tracing_examples", "training.tracing_rows"),
    ),
    "strategies": PredictionContract(
        made_by="edpipe score strategy",
        description=(
            "The strategy that the champion foretells for problem attempts, from what was known before "
            "each: test attempts, and those in the section that a student worked in last."
        ),
        grain="source, student_id, problem_id, problem_view",
        columns={
            **ATTEMPT,
            "split": (
                "Part of the champion's split: train, valid, test, or outside, which it neither learned "
                "from nor was judged by (later views; split by both: new problems of old students). In "
                "train it may have learned from this very attempt, and its confidence is then too high."
            ),
            "strategy": "Foretold KCs in order, joined by ` ~~ `.",
            "kc_ids": "Foretold KCs in order, published ids.",
            "num_kcs": "Number of foretold KCs, repeats counted.",
            "confidence": "Probability, in [0, 1], that the model gives this whole strategy.",
            **MODEL,
        },
        upstream=STRATEGY_INPUTS,
    ),
    "strategy_clusters": PredictionContract(
        made_by="edpipe score strategy",
        description="Cluster of each problem attempt: who and what is interchangeable in training.",
        grain="source, student_id, problem_id, problem_view",
        columns={
            **ATTEMPT,
            "cluster": "Cluster of the attempt, from 0; -1: training never met it.",
            "student_cluster": "Cluster of the student, from 0; -1: training never met the student.",
            "problem_cluster": "Cluster of the problem, from 0; -1: training never met the problem.",
            **MODEL,
        },
        upstream=STRATEGY_INPUTS,
    ),
    "cluster_profiles": PredictionContract(
        made_by="edpipe score strategy",
        description="What the attempts of a cluster have in common: strategies, mastery, symmetry.",
        grain="source, cluster",
        columns={
            "source": "Source of the logs.",
            "cluster": "Cluster of attempts, from 0.",
            "student_cluster": "Cluster of the students of most of its attempts.",
            "problem_cluster": "Cluster of the problems of most of its attempts.",
            "num_attempts": "Training attempts in it.",
            "num_students": "Students among them.",
            "num_problems": "Problems among them.",
            "num_strategies": "Different strategies among them.",
            "typical_strategy": "The most frequent strategy: KC ids in order.",
            "typical_share": "Share of attempts that follow it, in (0, 1].",
            "entropy": "Entropy of the strategies in bits: 0 where all are alike.",
            "mean_mastery": "Mean mastery, in [0, 1], of its students in the KCs that they used in it.",
            "strongest_kcs": "Up to three KC ids of the highest mean mastery.",
            "weakest_kcs": "Up to three KC ids of the lowest mean mastery.",
            "symmetry": "How alike in order its strategies are, in [-1, 1]; null below two attempts.",
            **MODEL,
        },
        upstream=STRATEGY_INPUTS,
    ),
    "activity_forecasts": PredictionContract(
        made_by="edpipe score tsdiff",
        description=(
            "Activity that the champion expects after the last closed period, with quantiles; periods with "
            "few students were suppressed before anything was learned."
        ),
        grain="source, frequency, measure, series_id, started_at",
        columns={
            "source": "Source of the logs, or `file` where the model learned from a file.",
            "frequency": "Length of a step: hourly or daily.",
            "measure": "What is forecast: interactions, students, accuracy; target where from a file.",
            "series_id": "Series, as in features.activity_series.",
            "last_known_at": "Start of the last period that was known, UTC.",
            "started_at": "Start of the period that is forecast, UTC.",
            "step": "Periods ahead, from 1.",
            "mean": "Mean of the sample paths, in the unit of the measure.",
            **{
                f"quantile_{percent:02d}": f"Value not exceeded with probability {percent / 100:g}."
                for percent in (5, 10, 25, 50, 75, 90, 95)
            },
            **MODEL,
        },
        upstream=("features.activity_series",),
    ),
    "recommendations": PredictionContract(
        made_by="edpipe score diffumin",
        description=(
            "The items that the champion ranks highest for each student, after all that the student did; of "
            "those met most often in training. What students take up, not what is good for them."
        ),
        grain="source, log_name, target, student_id, rank",
        columns={
            "source": "Source of the logs.",
            "log_name": "What the behaviors are: answers, visits, problems or clicks.",
            "target": "What is foretold: next_item, engagement or correct.",
            "student_id": "Published id of the student.",
            "rank": "1 for the best item.",
            "item_id": "Published id of the item, as in core.catalog.",
            "probability": (
                "Chance of the target, in [0, 1]; of next_item, beside items drawn by popularity, so that "
                "only its order means something."
            ),
            "gain": (
                "KCs that an attempt is expected to teach, by Bayesian knowledge tracing; null where items "
                "stand in order of their probability."
            ),
            **MODEL,
        },
        upstream=("features.behavior_sequences", "core.catalog", "core.opportunities"),
    ),
}


def how_to_make(text: str, published: Collection[str]) -> str:
    """Say how the first known prediction table that a text names and nobody has published is made.

    Parameters
    ----------
    text
        A query, or the name of a relation.
    published
        Names of the published relations, with their layer.

    Returns
    -------
    str
        A sentence with the command, or nothing where no such table is named.
    """
    for table in NAMED.findall(text):
        contract = CONTRACTS.get(table.lower())
        if contract is not None and f"predictions.{table.lower()}" not in published:
            return f"`predictions.{table.lower()}` has not been published: run `{contract.made_by}`."
    return ""


def contract_of(table: str) -> PredictionContract:
    """Return the contract of a table; others are only said to be predictions."""
    return CONTRACTS.get(table) or PredictionContract(
        f"Predictions `{table}`, written by batch scoring with a registered model."
    )
