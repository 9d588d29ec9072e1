"""The rules of a promotion: each a small function that looks at two versions and gives a verdict."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from edpipe.setting_groups_registry import PromotionSettings
from edpipe.tracking.contest import WORST_GROUP, Contest, contest_of
from edpipe.tracking.registry import ModelVersion

Outcome = Literal["passed", "failed", "unknown"]
LATENCY = "latency.milliseconds"
MACHINE = "latency.machine"
TAKEN_BACK = "rollback.reason"
TAKEN_BACK_AT = "rollback.decided_at"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one rule says.

    Attributes
    ----------
    rule
        Name of the rule.
    outcome
        ``passed``, ``failed``, or ``unknown`` where a number is missing, which stands in nobody's way.
    reason
        One sentence.
    """

    rule: str
    outcome: Outcome
    reason: str


@dataclass(frozen=True, slots=True)
class Match:
    """Two versions, and what is known of them on the same validation rows.

    Attributes
    ----------
    candidate, champion
        The versions; no champion where the candidate is the first.
    new, old
        Their scores by metric.
    bounds
        How much is allowed.
    """

    candidate: ModelVersion
    champion: ModelVersion | None
    new: Mapping[str, float]
    old: Mapping[str, float] = field(default_factory=dict)
    bounds: PromotionSettings = field(default_factory=PromotionSettings)

    @property
    def contest(self) -> Contest:
        """What versions of this name are compared by."""
        return contest_of(self.candidate.name)


def better(match: Match) -> Verdict:
    """Ask for a strictly better deciding score on the same rows."""
    contest = match.contest
    new = match.new[contest.deciding]
    words = f"Version {match.candidate.version} has a {contest.title} of {new:.4f}"
    if match.champion is None:
        return Verdict("better", "passed", f"{words}; there is no champion to beat.")
    old = match.old[contest.deciding]
    outcome: Outcome = "passed" if contest.wins(new, old) else "failed"
    return Verdict("better", outcome, f"{words}, version {match.champion.version} of {old:.4f}.")


def worst_group(match: Match) -> Verdict:
    """Ask that whoever is served worst is served no worse, but for the tolerance."""
    contest = match.contest
    new, old = (scores.get(contest.worst_metric) for scores in (match.new, match.old))
    if new is None:
        return Verdict(
            "worst_group",
            "unknown",
            f"No {contest.groups_title} with enough validation rows are known of version "
            f"{match.candidate.version}.",
        )
    name = match.candidate.tags.get(f"valid.{WORST_GROUP}", "")
    words = f"Its {contest.group_title} in the group served worst{f' ({name})' if name else ''} is {new:.4f}"
    if match.champion is None:
        return Verdict("worst_group", "unknown", f"{words}; there is no champion to compare with.")
    if old is None:
        return Verdict("worst_group", "unknown", f"{words}; that of the champion is not known.")
    slack = match.bounds.worst_group_tolerance * abs(old)
    is_well = new >= old - slack if contest.is_group_higher_better else new <= old + slack
    return Verdict(
        "worst_group",
        "passed" if is_well else "failed",
        f"{words} against {old:.4f}; {match.bounds.worst_group_tolerance:.1%} may be lost.",
    )


def calibration(match: Match) -> Verdict:
    """Ask for a calibration within the band, or nearer to it than the champion's."""
    contest = match.contest
    new = match.new.get(contest.calibration)
    if new is None:
        return Verdict(
            "calibration", "unknown", f"The {contest.calibration_title} of this version is not known."
        )
    low, high = contest.band(match.bounds)
    words = f"Its {contest.calibration_title} is {new:.3f}"
    if low <= new <= high:
        return Verdict("calibration", "passed", f"{words}, inside of {low:g} to {high:g}.")
    words += f", outside of {low:g} to {high:g}"
    old = match.old.get(contest.calibration)
    # Compared as "less": a share that is no number is nearer to nothing.
    if old is not None and _outside(new, low, high) < _outside(old, low, high):
        return Verdict("calibration", "passed", f"{words}, but nearer than the champion's {old:.3f}.")
    return Verdict("calibration", "failed", f"{words}.")


def _outside(value: float, low: float, high: float) -> float:
    """Return how far a value lies outside of a band; 0 inside."""
    return max(low - value, value - high, 0.0) if value == value else float("nan")  # noqa: PLR0124  # NaN


def latency(match: Match) -> Verdict:
    """Ask for an answer in time: against a bound in milliseconds, and against the champion's."""
    new = _milliseconds(match.candidate)
    if new is None:
        return Verdict("latency", "unknown", "The latency of this version was not measured.")
    bounds = match.bounds
    words = f"It answers the fixed batch in {new:.3g} ms on one thread"
    if bounds.max_latency_ms and new > bounds.max_latency_ms:
        return Verdict("latency", "failed", f"{words}, above {bounds.max_latency_ms:g} ms.")
    within = f", within {bounds.max_latency_ms:g} ms" if bounds.max_latency_ms else ""
    if match.champion is None:
        return Verdict(
            "latency", "passed" if within else "unknown", f"{words}{within}; there is no champion."
        )
    old = _milliseconds(match.champion)
    if old is None:
        return Verdict("latency", "unknown", f"{words}{within}; that of the champion was not measured.")
    if match.candidate.tags.get(MACHINE) != match.champion.tags.get(MACHINE):
        return Verdict("latency", "unknown", f"{words}{within}; the champion was timed on another machine.")
    most = bounds.latency_factor * old
    where = "within" if new <= most else "above"
    return Verdict(
        "latency",
        "passed" if new <= most else "failed",
        f"{words}{within}, {where} {bounds.latency_factor:g} times the champion's {old:.3g} ms.",
    )


def _milliseconds(version: ModelVersion) -> float | None:
    return float(version.tags[LATENCY]) if LATENCY in version.tags else None


def not_taken_back(match: Match) -> Verdict:
    """Refuse a version that a rollback has taken back: it would only return the next night."""
    tags = match.candidate.tags
    if TAKEN_BACK not in tags:
        return Verdict("not_taken_back", "passed", "No rollback has taken it back.")
    at = tags.get(TAKEN_BACK_AT, "an unknown time")
    return Verdict("not_taken_back", "failed", f"It was taken back at {at}: {tags[TAKEN_BACK]}")


Rule = Callable[[Match], Verdict]
RULES: tuple[Rule, ...] = (better, worst_group, calibration, latency, not_taken_back)


def verdicts(match: Match) -> tuple[Verdict, ...]:
    """Ask every rule."""
    return tuple(rule(match) for rule in RULES)
