"""The way back: the champion's alias returns to a version that held it before."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from edpipe.errors import RegistryError
from edpipe.operations.decisions import record_decision
from edpipe.settings import Settings
from edpipe.tracking.environment import package_version
from edpipe.tracking.promotion import PREVIOUS
from edpipe.tracking.registry import (
    CHALLENGER,
    CHAMPION,
    ModelVersion,
    champion,
    delete_alias,
    delete_version_tags,
    get_version,
    set_alias,
    set_version_tags,
    versions,
)
from edpipe.tracking.rules import TAKEN_BACK, TAKEN_BACK_AT

BY_HAND = "Taken back by hand."


@dataclass(frozen=True, slots=True)
class Rollback:
    """What was taken back.

    Attributes
    ----------
    name
        Registered name.
    champion
        Version that holds the alias afterwards (or would, in a dry run).
    previous
        Version that held it before, and is not promoted again unless a person goes back to it.
    reason
        Why.
    is_dry_run
        True when nothing was changed.
    """

    name: str
    champion: int
    previous: int
    reason: str
    is_dry_run: bool = False


def rollback(
    settings: Settings,
    name: str = "tracing",
    *,
    to: int | None = None,
    reason: str = BY_HAND,
    dry_run: bool = False,
) -> Rollback:
    """Give the alias ``champion`` back to the version that held it before, or to a named one.

    The version that loses it keeps its tags and the reason, and no promotion takes it again. The decision is
    in ``ops.promotions`` before the alias moves, in one call: a killed rollback leaves the old champion or
    the new one, and asking again ends it.

    Parameters
    ----------
    settings
        Where the registry is.
    name
        Registered name.
    to
        Version to go back to; by default the champion before the present one.
    reason
        Why, for the record.
    dry_run
        Decide and change nothing.

    Raises
    ------
    RegistryError
        If there is no champion, nothing to go back to, or no such version.
    """
    holder = champion(settings, name)
    target = _before(settings, holder) if to is None else get_version(settings, name, to)
    if target.version == holder.version:
        raise RegistryError(
            f"Version {holder.version} of `{name}` is the champion already.",
            where="flag `--to`",
            found=str(to),
            expected=f"another version: {_others(settings, holder)}",
            next_step=f"Leave `--to` out to go back to the champion before, or see `edpipe promote {name} "
            "--dry-run` for all versions.",
            state="No alias was moved.",
        )
    done = Rollback(name, target.version, holder.version, reason.strip() or BY_HAND, dry_run)
    if not dry_run:
        _apply(settings, holder, target, done)
    return done


def _before(settings: Settings, holder: ModelVersion) -> ModelVersion:
    """Return the version that was champion before the present one."""
    known = holder.tags.get(PREVIOUS)
    if known is None:
        raise RegistryError(
            f"There is no champion of `{holder.name}` to go back to.",
            where=f"version {holder.version}, tag `{PREVIOUS}`",
            found="the first champion: nobody held the alias before it",
            expected="a version that took over from another",
            next_step=f"Name one of these with `--to`: {_others(settings, holder)}.",
            state="No alias was moved.",
        )
    return get_version(settings, holder.name, int(known))


def _others(settings: Settings, holder: ModelVersion) -> str:
    others = [str(one.version) for one in versions(settings, holder.name) if one.version != holder.version]
    return ", ".join(others) or "there is no other version"


def _apply(settings: Settings, holder: ModelVersion, target: ModelVersion, done: Rollback) -> None:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    words = f"Version {done.champion} is champion again, version {done.previous} is taken back: {done.reason}"
    record_decision(
        settings,
        {
            "kind": "rollback",
            "family": done.name,
            "version": done.champion,
            "previous": done.previous,
            "champion": done.champion,
            "is_promoted": True,
            "reasons": [done.reason],
            "reason": words,
            "edpipe_version": package_version("edpipe"),
        },
    )
    # Before the alias moves: were it after, a killed rollback could be undone by the next promotion.
    set_version_tags(settings, holder, {TAKEN_BACK: done.reason, TAKEN_BACK_AT: now})
    set_alias(settings, target, CHAMPION)
    # Whoever a person goes back to may be champion, whatever was said of it earlier.
    delete_version_tags(settings, target, [tag for tag in (TAKEN_BACK, TAKEN_BACK_AT) if tag in target.tags])
    if CHALLENGER in target.aliases:
        delete_alias(settings, target.name, CHALLENGER)
