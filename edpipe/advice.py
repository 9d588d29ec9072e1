"""Commands that a person is advised to run, with the flags that the present data need."""

from __future__ import annotations

from edpipe.raw import TUTOR_SOURCES, landed
from edpipe.settings import Settings


def train_command(settings: Settings, model: str = "tracing") -> str:
    """Return the command that trains a family of models on data that are there.

    It names a source where the one of the settings has not been ingested and another has.

    Parameters
    ----------
    settings
        Where the raw rows are, and the source of each family.
    model
        ``tracing``, ``strategy``, ``tsdiff`` or ``diffumin``.
    """
    sources = list(dict.fromkeys(manifest.source for manifest in landed(settings.raw_dir)))
    usable = [one for one in sources if model != "strategy" or one in TUTOR_SOURCES]
    wanted = {
        "strategy": settings.strategy.source,
        "tsdiff": settings.tsdiff.source,
        "diffumin": settings.recommendation.source,
    }.get(model, settings.tracing.source)
    flag = "" if wanted in usable or not usable else f" --source {usable[0]}"
    return f"edpipe train {model}{flag}"


def only_clicks(settings: Settings) -> bool:
    """Tell whether logs of clicks are all that was ingested."""
    return {manifest.source for manifest in landed(settings.raw_dir)} == {"clicks"}
