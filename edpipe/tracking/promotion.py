"""Which version is the champion: moved only by a better score on the same validation rows.

The score is the log loss on validation rows: of an answer for tracers, of a token for predictors of
strategies. It is a proper score: it rewards probabilities that are right, which is what mastery estimates and
confidences are made of, while AUC and exact match only reward order. Those are recorded beside it. A
predictor of strategies must also not be worse for the mastery group that is served worst, where both are
known. Forecasters are compared by their CRPS, and their 90 % intervals must hold about 90 % of the steps.
Recommenders are compared by their AUC, since their order is what is used, and must predict about as many
clicks as come. The test split plays no part.
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
    ModelVersion,
    delete_alias,
    get_version,
    set_alias,
    set_version_tags,
    valid_tag,
    versions,
)

Rescore = Callable[[ModelVersion, ModelVersion], Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Contest:
    """What two versions are compared by.

    Attributes
    ----------
    deciding
        Metric on validation rows; the lower wins, or the higher where ``is_higher_better``.
    title
        Its name in a sentence.
    beside
        Metrics that are recorded with it.
    guard
        Metric that must not fall, where both versions have it; empty for none.
    guard_title
        Its name in a sentence.
    banded
        Metric that must lie in ``band``, or come nearer to it than the champion's; empty for none. It is
        one of ``beside``.
    banded_title
        Its name in a sentence.
    band
        Least and greatest value.
    is_higher_better
        Whether the higher value of the deciding metric wins.
    """

    deciding: str = "log_loss"
    title: str = "validation log loss"
    beside: tuple[str, ...] = ("auc",)
    guard: str = ""
    guard_title: str = ""
    banded: str = ""
    banded_title: str = ""
    band: tuple[float, float] = (0.0, 1.0)
    is_higher_better: bool = False

    def wins(self, new: float, old: float) -> bool:
        """Return whether a value of the deciding metric beats another; one that is no number never does."""
        return new > old if self.is_higher_better else new < old

    def excess(self, value: float) -> float:
        """Return how far a value lies outside of the band; 0 inside."""
        return max(self.band[0] - value, value - self.band[1], 0.0)


WORST_GROUP = "worst_group_exact_match"
STRATEGY = Contest(
    title="validation log loss a token",
    beside=("exact_match",),
    guard=WORST_GROUP,
    guard_title="exact match in the mastery group served worst",
)
TSDIFF = Contest(
    deciding="crps",
    title="validation CRPS",
    beside=("coverage_90",),
    banded="coverage_90",
    banded_title="share of validation steps inside the 90 % interval",
    band=(0.87, 0.93),
)
DIFFUMIN = Contest(
    deciding="auc",
    title="validation AUC",
    beside=("log_loss", "predicted_over_clicked"),
    banded="predicted_over_clicked",
    banded_title="number of predicted clicks for each real one",
    band=(0.9, 1.1),
    is_higher_better=True,
)
CONTESTS = {"strategy": STRATEGY, "tsdiff": TSDIFF, "diffumin": DIFFUMIN}


def contest_of(name: str) -> Contest:
    """Return what the versions of a registered name are compared by."""
    return CONTESTS.get(name, Contest())


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
        Validation scores of the candidate and of the champion before, by ``candidate.log_loss``,
        ``champion.log_loss`` and so on.
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

    A predictor of strategies must also not have a lower exact match in its worst mastery group, and the
    90 % intervals of a forecaster must hold 87 to 93 % of the steps, or miss that by less than the champion's
    do. A recommender needs a higher AUC instead, and must predict 0.9 to 1.1 clicks for each real one, or be
    nearer to that than the champion. Both must have been scored on the same rows: same data fingerprint and
    split. If the champion was validated on other data, ``rescore`` measures it on the candidate's. A
    candidate that does not win gets the alias ``challenger``. The first version becomes champion without a
    contest.

    Parameters
    ----------
    settings
        Where the registry is.
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
    scores = {f"candidate.{key}": value for key, value in _validation(candidate).items()}
    holder = next((one for one in versions(settings, name) if CHAMPION in one.aliases), None)
    if holder is None:
        is_promoted, reason = True, f"Version {candidate.version} is the first champion.{_outside(candidate)}"
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
    """Return the validation scores recorded with a version; that of the guard may be missing."""
    contest = contest_of(version.name)
    needed = (contest.deciding, *contest.beside)
    try:
        scores = {metric: float(version.tags[valid_tag(metric)]) for metric in needed}
        if contest.guard and valid_tag(contest.guard) in version.tags:
            scores[contest.guard] = float(version.tags[valid_tag(contest.guard)])
        return scores
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


def _compare(candidate: ModelVersion, holder: ModelVersion, scores: Mapping[str, float]) -> tuple[bool, str]:
    contest = contest_of(candidate.name)
    new, old = (scores[f"{who}.{contest.deciding}"] for who in ("candidate", "champion"))
    names = f"Version {candidate.version} has a {contest.title} of {new:.4f}, version {holder.version}"
    if not contest.wins(new, old):
        return False, f"{names} of {old:.4f}: the champion stays."
    guarded = [scores.get(f"{who}.{contest.guard}") for who in ("candidate", "champion")]
    if guarded[0] is not None and guarded[1] is not None and guarded[0] < guarded[1]:
        return False, (
            f"{names} of {old:.4f}, but its {contest.guard_title} is {guarded[0]:.4f} against "
            f"{guarded[1]:.4f}: the champion stays."
        )
    if contest.banded:
        shares = [scores[f"{who}.{contest.banded}"] for who in ("candidate", "champion")]
        # Compared as "not less": a share that is no number is inside of no band.
        if not (contest.excess(shares[0]) <= 0 or contest.excess(shares[0]) < contest.excess(shares[1])):
            low, high = contest.band
            return False, (
                f"{names} of {old:.4f}, but its {contest.banded_title} is {shares[0]:.3f}, outside of "
                f"{low} to {high}: the champion stays."
            )
    return True, f"{names} of {old:.4f}: it takes over."


def _outside(candidate: ModelVersion) -> str:
    """Say that a banded metric is outside; a first champion is taken all the same: there is no other."""
    contest = contest_of(candidate.name)
    if not contest.banded:
        return ""
    value = _validation(candidate)[contest.banded]
    if contest.excess(value) <= 0:
        return ""
    low, high = contest.band
    return f" Its {contest.banded_title} is {value:.3f}, outside of {low} to {high}."


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
