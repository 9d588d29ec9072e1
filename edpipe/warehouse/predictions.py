"""What the prediction tables mean; batch scoring writes them, no SQL model makes them."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class PredictionContract:
    """Meaning of one prediction table."""

    description: str
    grain: str = ""
    columns: dict[str, str] = field(default_factory=dict)
    upstream: tuple[str, ...] = ()


CONTRACTS = {
    "kc_mastery": PredictionContract(
        description="Each student's mastery of each KC as the champion sees it, after all answers.",
        grain="source, student_id, kc_id",
        columns={
            "student_id": "Published id of the student.",
            "source": "Source of the answers.",
            "kc_id": "Published id of the KC.",
            "mastery": "Mean probability, in [0, 1], of a right answer to the KC's most practised items now.",
            "num_opportunities": "Answers of the student to items with the KC so far; 0: never met.",
            "model_name": "Registered model.",
            "model_version": "Its version.",
            "scored_at": "When it was scored, UTC.",
        },
        upstream=("training.tracing_examples", "training.tracing_rows"),
    )
}


def contract_of(table: str) -> PredictionContract:
    """Return the contract of a table; others are only said to be predictions."""
    return CONTRACTS.get(table) or PredictionContract(
        f"Predictions `{table}`, written by batch scoring with a registered model."
    )
