"""The settings of recommendation: what is learned from which log, and how its examples are made."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from edpipe.setting_groups import Strict

LogName = Literal["answers", "visits", "problems", "clicks"]
Target = Literal["next_item", "engagement", "correct"]
# Logs of a source, the usual one first.
LOGS: dict[str, tuple[LogName, ...]] = {
    "ednet": ("answers", "visits"),
    "assistments": ("answers",),
    "kddcup": ("problems",),
    "datashop": ("problems",),
    "mathia": ("problems",),
    "clicks": ("clicks",),
}
# Logs that can answer a target.
TARGET_LOGS: dict[str, tuple[LogName, ...]] = {
    "next_item": ("answers", "visits", "problems", "clicks"),
    "engagement": ("visits",),
    "correct": ("answers", "problems"),
}


class RecommendationSettings(Strict):
    """Recommendation: source, target, history, negatives, split."""

    source: str = Field(default="ednet", description="Source whose behaviors are learned from.")
    log: Literal["auto", "answers", "visits", "problems", "clicks"] = Field(
        default="auto",
        description="Which of the source's logs; auto is the one that has the target, EdNet's answers before "
        "its visits.",
    )
    target: Target = Field(
        default="next_item",
        description="What is foretold: the next item among popular ones not met, whether an opened one is "
        "finished (visits), or whether an answer is right.",
    )
    max_length: int = Field(
        default=1_000,
        ge=1,
        le=10_000,
        description="Most behaviors before a target that are shown, the latest.",
    )
    negatives: int = Field(
        default=1, ge=1, le=1_000, description="Items not met, drawn by popularity, beside each next item."
    )
    min_history: int = Field(
        default=1, ge=0, le=10_000, description="Behaviors that must stand before a target."
    )
    valid: float = Field(
        default=0.1, gt=0, lt=0.5, description="Share of each student's targets, for choice."
    )
    test: float = Field(
        default=0.1, gt=0, lt=0.5, description="Share of each student's targets, the latest, for the test."
    )
    num_categories: int = Field(
        default=3, ge=0, le=32, description="Categories of an item that are shown, in order of their ids."
    )
    batch_size: int = Field(default=256, ge=1, description="Requests a batch: a student at one time each.")

    @model_validator(mode="after")
    def _log_has_target(self) -> Self:
        logs, able = LOGS.get(self.source, ()), TARGET_LOGS[self.target]
        if not logs:
            raise ValueError(f"source must be one of {', '.join(LOGS)}; got {self.source!r}")
        chosen = logs if self.log == "auto" else (self.log,)
        usable = [log for log in chosen if log in logs and log in able]
        if not usable:
            wanted = [f"{source}/{log}" for source, of in LOGS.items() for log in of if log in able]
            raise ValueError(
                f"target {self.target} is in {', '.join(wanted)}; got source {self.source}, log {self.log}"
            )
        return self

    @property
    def log_name(self) -> LogName:
        """The log that is read, with ``auto`` resolved."""
        if self.log != "auto":
            return self.log
        return next(log for log in LOGS[self.source] if log in TARGET_LOGS[self.target])
