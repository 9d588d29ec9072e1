"""The verb that takes a promotion back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edpipe.learning import family_of
from edpipe.operations.runs import Account, recorded
from edpipe.settings import Settings, load_settings

if TYPE_CHECKING:
    from edpipe.tracking.rollback import Rollback


def rollback(
    model: str = "tracing",
    settings: Settings | None = None,
    *,
    to: int | None = None,
    reason: str = "",
    dry_run: bool = False,
) -> Rollback:
    """Give the alias ``champion`` back to the version that held it before, or to a named one.

    Prediction tables stay as they are until :func:`edpipe.score` makes them by the new champion;
    :func:`edpipe.learning.stale_tables` names them.

    Parameters
    ----------
    model
        ``tracing``, ``strategy``, ``tsdiff`` or ``diffumin``.
    settings
        Default: :func:`edpipe.load_settings`.
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
    family = family_of(model)
    settings = settings or load_settings()
    from edpipe.tracking import rollback as way_back

    with recorded(settings, "rollback", family=family.name, is_dry_run=dry_run) as run:
        done = way_back.rollback(settings, model, to=to, reason=reason, dry_run=dry_run)
        run.made(
            lambda: Account(
                inputs=[f"models:/{model}/{done.previous}"], outputs=[f"models:/{model}/{done.champion}"]
            )
        )
    return done
