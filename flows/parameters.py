"""What every deployed flow takes: settings, checked before anything is done, and opened in each task."""

from __future__ import annotations

from typing import Any

from prefect import runtime

from edpipe.operations.runs import FLOW_RUN
from edpipe.settings import Settings, load_settings


def checked(settings: dict[str, Any]) -> dict[str, Any]:
    """Return all settings, those given on top of preset, `edpipe.toml` and environment.

    Raises
    ------
    SettingsError
        If one is unknown or out of range: a flow calls this first, so that it fails at once.
    """
    return load_settings(**settings).model_dump(mode="json")


def opened(settings: dict[str, Any]) -> Settings:
    """Return checked settings as an object; the records of the steps that follow name this flow run."""
    FLOW_RUN.set(str(runtime.flow_run.id or ""))
    return Settings(**settings)
