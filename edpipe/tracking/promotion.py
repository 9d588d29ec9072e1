"""Which version is the champion: the alias moves only by the rules, and every decision is kept.

A version takes over if it is better than the champion on the same validation rows, no worse for the group
that is served worst, and its calibration and latency are within bounds (:mod:`edpipe.tracking.rules`). The
deciding scores are proper where probabilities are used (log loss of an answer for tracers, of a token for
predictors of strategies, CRPS for forecasters), and the AUC for recommenders, whose order is what is used.
The test split plays no part.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from edpipe.errors import RegistryError
from edpipe.operations.decisions import record_decision
from edpipe.settings import Settings
from edpipe.tracking.contest import contest_of
from edpipe.tracking.environment import package_version
from edpipe.tracking.registry import (
    CHALLENGER,
    CHAMPION,
    ModelVersion,
    delete_alias,
    get_version,
    set_alias,
    set_version_tags,
    valid_tag,
    versions,
)
from edpipe.tracking.rules import Match, Verdict, verdicts

Rescore = Callable[[ModelVersion, ModelVersion], Mapping[str, float]]
# Tag of a champion: who held the alias before it, for the way back.
PREVIOUS = "promotion.previous"


@dataclass(frozen=True, slots=True)
class Promotion:
    """What was decided, and on which numbers.

    Attributes
    ----------
    name, version
        The candidate.
    champion
        Version that holds the alias afterwards (or would, in a dry run).
    previous
        Version that held it before; None if there was none.
    is_promoted
        Whether the alias moves to the candidate.
    reason
        The decision in words.
    scores
        Validation scores of the candidate and of the champion before, by ``candidate.log_loss``,
        ``champion.log_loss`` and so on.
    verdicts
        What each rule says; none where the candidate is the champion already.
    is_dry_run
        True when nothing was changed.
    """

    name: str
    version: int
    champion: int
    previous: int | None
    is_promoted: bool
    reason: str
    scores: Mapping[str, float]
    verdicts: tuple[Verdict, ...] = ()
    is_dry_run: bool = False


def promote(
    settings: Settings,
    name: str = "tracing",
    version: int | None = None,
    *,
    rescore: Rescore | None = None,
    dry_run: bool = False,
) -> Promotion:
    """Make a version the champion if every rule lets it.

    Both must have been scored on the same rows: same data fingerprint and split. If the champion was
    validated on other data, ``rescore`` measures it on the candidate's. A candidate that does not win gets
    the alias ``challenger``. The first version becomes champion without a contest, whatever the rules find,
    unless it was taken back: there is no other. Every decision is recorded as tags of the version and in
    ``ops.promotions``, before an alias moves.

    Parameters
    ----------
    settings
        Where the registry is, and the bounds.
    name
        Registered name.
    version
        Candidate; the newest by default.
    rescore
        Called with champion and candidate, returns the champion's scores on the validation rows of the
        candidate, by metric.
    dry_run
        Decide and change nothing.

    Raises
    ------
    RegistryError
        If the version does not exist, has no validation score, or the champion was validated on other
        data and ``rescore`` is not given.
    """
    candidate = get_version(settings, name, version)
    new = _validation(candidate)
    holder = next((one for one in versions(settings, name) if CHAMPION in one.aliases), None)
    scores = {f"candidate.{key}": value for key, value in new.items()}
    told: tuple[Verdict, ...] = ()
    if holder is not None and holder.version == candidate.version:
        is_promoted, reason = False, f"Version {candidate.version} is the champion already."
    else:
        old = {} if holder is None else _champion_scores(holder, candidate, rescore)
        scores |= {f"champion.{key}": value for key, value in old.items()}
        told = verdicts(Match(candidate, holder, new, old, settings.promotion))
        is_promoted, reason = _decided(candidate, holder, told)
    promotion = Promotion(
        name=name,
        version=candidate.version,
        champion=candidate.version if is_promoted or holder is None else holder.version,
        previous=None if holder is None else holder.version,
        is_promoted=is_promoted,
        reason=reason,
        scores=scores,
        verdicts=told,
        is_dry_run=dry_run,
    )
    if told and not dry_run:
        _apply(settings, candidate, promotion)
    return promotion


def _validation(version: ModelVersion) -> dict[str, float]:
    """Return a version's validation scores; those of calibration and groups may be missing."""
    contest = contest_of(version.name)
    needed = (contest.deciding, *contest.beside)
    optional = (contest.calibration, contest.worst_metric)
    known = [one for one in optional if one not in needed and valid_tag(one) in version.tags]
    try:
        return {metric: float(version.tags[valid_tag(metric)]) for metric in (*needed, *known)}
    except (KeyError, ValueError) as error:
        raise RegistryError(
            f"Version {version.version} of `{version.name}` has no validation score.",
            where=" and ".join(f"tag `{valid_tag(metric)}`" for metric in needed),
            found=", ".join(sorted(version.tags)) or "no tags",
            next_step=f"Run `edpipe evaluate {version.name}` for its run, which records them.",
            state="No alias was moved.",
        ) from error


def _champion_scores(
    holder: ModelVersion, candidate: ModelVersion, rescore: Rescore | None
) -> Mapping[str, float]:
    if holder.data == candidate.data and all(holder.data):
        return _validation(holder)
    if rescore is None:
        raise RegistryError(
            "The champion was validated on other data, so the two scores cannot be compared.",
            where=f"versions {holder.version} and {candidate.version} of `{candidate.name}`",
            found=f"data {holder.data!r} and {candidate.data!r}",
            expected="the same data fingerprint and split",
            next_step="Score the champion again on the new data; `edpipe promote` does it.",
            state="No alias was moved.",
        )
    return rescore(holder, candidate)


def _decided(
    candidate: ModelVersion, holder: ModelVersion | None, told: tuple[Verdict, ...]
) -> tuple[bool, str]:
    """Return whether the candidate takes over, and why."""
    failed = [verdict for verdict in told if verdict.outcome == "failed"]
    if holder is None:
        taken_back = [verdict.reason for verdict in failed if verdict.rule == "not_taken_back"]
        if taken_back:
            return False, f"Version {candidate.version} does not become champion. {taken_back[0]}"
        words = [f"Version {candidate.version} is the first champion.", *(one.reason for one in failed)]
        return True, " ".join(words)
    deciding, *others = told
    if deciding.outcome == "failed":
        return False, f"{deciding.reason.rstrip('.')}: the champion stays."
    if failed:
        reasons = " ".join(verdict.reason for verdict in others if verdict.outcome == "failed")
        return False, f"{deciding.reason.rstrip('.')}, but the champion stays. {reasons}"
    return True, f"{deciding.reason.rstrip('.')}: it takes over."


def _apply(settings: Settings, candidate: ModelVersion, promotion: Promotion) -> None:
    set_version_tags(settings, candidate, _tags(promotion))
    # Kept before the alias moves: a killed promotion leaves a decision without its move, never the reverse.
    record_decision(settings, _facts(promotion))
    if promotion.is_promoted:
        # One call moves the alias, so a reader finds the old champion or the new one, never none.
        set_alias(settings, candidate, CHAMPION)
        if CHALLENGER in candidate.aliases:
            delete_alias(settings, candidate.name, CHALLENGER)
    elif promotion.previous is not None:
        set_alias(settings, candidate, CHALLENGER)


def _tags(promotion: Promotion) -> dict[str, str]:
    tags = {
        "promotion.reason": promotion.reason,
        "promotion.decided_at": datetime.now(UTC).isoformat(timespec="seconds"),
        **{f"promotion.{key}": f"{value:.6f}" for key, value in promotion.scores.items()},
        **{f"promotion.rule.{one.rule}": f"{one.outcome}: {one.reason}" for one in promotion.verdicts},
    }
    if promotion.is_promoted and promotion.previous is not None:
        tags[PREVIOUS] = str(promotion.previous)
    return tags


def _facts(promotion: Promotion) -> dict[str, object]:
    metric = contest_of(promotion.name).deciding
    return {
        "kind": "promotion",
        "family": promotion.name,
        "version": promotion.version,
        "previous": promotion.previous,
        "champion": promotion.version if promotion.is_promoted else promotion.previous,
        "is_promoted": promotion.is_promoted,
        "metric": metric,
        "candidate_score": _number(promotion.scores.get(f"candidate.{metric}")),
        "champion_score": _number(promotion.scores.get(f"champion.{metric}")),
        **{one.rule: one.outcome for one in promotion.verdicts},
        "reasons": [one.reason for one in promotion.verdicts],
        "reason": promotion.reason,
        "edpipe_version": package_version("edpipe"),
    }


def _number(value: float | None) -> float | None:
    """Return a value that JSON can hold: what is no number is missing."""
    return None if value is None or value != value else value  # noqa: PLR0124  # NaN
