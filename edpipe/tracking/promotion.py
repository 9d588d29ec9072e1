"""Which version is the champion: moved only by a better score on the same validation rows.

The score is the log loss on validation students. It is a proper score: it rewards probabilities that are
right, which is what mastery estimates are made of, while AUC only rewards their order. AUC is recorded
beside it. The test split plays no part.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from edpipe.errors import RegistryError
from edpipe.settings import Settings
from edpipe.tracking.registry import (
    CHALLENGER,
    CHAMPION,
    VALID_AUC,
    VALID_LOG_LOSS,
    ModelVersion,
    delete_alias,
    get_version,
    set_alias,
    set_version_tags,
    versions,
)

Rescore = Callable[[ModelVersion, ModelVersion], Mapping[str, float]]


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
        One sentence.
    scores
        Validation log loss and AUC of the candidate and of the champion before, by
        ``candidate.log_loss``, ``candidate.auc``, ``champion.log_loss``, ``champion.auc``.
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
    is_dry_run: bool = False


def promote(
    settings: Settings,
    name: str = "tracing",
    version: int | None = None,
    *,
    rescore: Rescore | None = None,
    dry_run: bool = False,
) -> Promotion:
    """Make a version the champion if its validation log loss is lower than the champion's.

    Both must have been scored on the same rows: same data fingerprint and split. If the champion was
    validated on other data, ``rescore`` measures it on the candidate's. A candidate that does not win
    gets the alias ``challenger``. The first version becomes champion without a contest.

    Parameters
    ----------
    settings
        Where the registry is.
    name
        Registered name.
    version
        Candidate; the newest by default.
    rescore
        Called with champion and candidate, returns the champion's ``log_loss`` and ``auc`` on the
        validation rows of the candidate.
    dry_run
        Decide and change nothing.

    Raises
    ------
    RegistryError
        If the version does not exist, has no validation score, or the champion was validated on other
        data and ``rescore`` is not given.
    """
    candidate = get_version(settings, name, version)
    scores = {f"candidate.{key}": value for key, value in _validation(candidate).items()}
    holder = next((one for one in versions(settings, name) if CHAMPION in one.aliases), None)
    if holder is None:
        is_promoted, reason = True, f"Version {candidate.version} is the first champion."
    elif holder.version == candidate.version:
        is_promoted, reason = False, f"Version {candidate.version} is the champion already."
    else:
        against = _champion_scores(holder, candidate, rescore)
        scores |= {f"champion.{key}": value for key, value in against.items()}
        is_promoted, reason = _compare(candidate, holder, scores)
    promotion = Promotion(
        name=name,
        version=candidate.version,
        champion=candidate.version if is_promoted or holder is None else holder.version,
        previous=None if holder is None else holder.version,
        is_promoted=is_promoted,
        reason=reason,
        scores=scores,
        is_dry_run=dry_run,
    )
    if not dry_run:
        _apply(settings, candidate, promotion)
    return promotion


def _validation(version: ModelVersion) -> dict[str, float]:
    """Return the validation scores recorded with a version."""
    try:
        return {"log_loss": float(version.tags[VALID_LOG_LOSS]), "auc": float(version.tags[VALID_AUC])}
    except (KeyError, ValueError) as error:
        raise RegistryError(
            f"Version {version.version} of `{version.name}` has no validation score.",
            where=f"tags `{VALID_LOG_LOSS}` and `{VALID_AUC}`",
            found=", ".join(sorted(version.tags)) or "no tags",
            next_step="Run `edpipe evaluate tracing` for its run, which records them.",
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


def _compare(candidate: ModelVersion, holder: ModelVersion, scores: Mapping[str, float]) -> tuple[bool, str]:
    new, old = scores["candidate.log_loss"], scores["champion.log_loss"]
    names = f"Version {candidate.version} has a validation log loss of {new:.4f}, version {holder.version}"
    if new < old:
        return True, f"{names} of {old:.4f}: it takes over."
    return False, f"{names} of {old:.4f}: the champion stays."


def _apply(settings: Settings, candidate: ModelVersion, promotion: Promotion) -> None:
    decided = {
        "promotion.reason": promotion.reason,
        "promotion.decided_at": datetime.now(UTC).isoformat(timespec="seconds"),
    } | {f"promotion.{key}": f"{value:.6f}" for key, value in promotion.scores.items()}
    if promotion.is_promoted:
        set_version_tags(settings, candidate, decided)
        # One call moves the alias, so a reader finds the old champion or the new one, never none.
        set_alias(settings, candidate, CHAMPION)
        if CHALLENGER in candidate.aliases:
            delete_alias(settings, candidate.name, CHALLENGER)
    elif promotion.champion != candidate.version:
        set_version_tags(settings, candidate, decided)
        set_alias(settings, candidate, CHALLENGER)
