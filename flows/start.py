"""Run the pipeline flow in this process: Prefect's own files stay under the home folder."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edpipe.settings import Settings

# Prefect reads its environment when it is imported. Its temporary server takes up to 25 s to answer on
# a busy machine (20 s is its own limit), and prints harmless tracebacks when the process ends.
PREFECT_ENVIRONMENT = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
    "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_LEVEL": "WARNING",
}


def prepare(home: Path) -> None:
    """Set Prefect's environment, without overriding what is already set."""
    os.environ.setdefault("PREFECT_HOME", str((home / "prefect").resolve()))
    for name, value in PREFECT_ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def run_pipeline(settings: Settings, sources: Mapping[str, Sequence[Path]]) -> dict[str, str]:
    """Run the flow for the files of some sources and return references to what it made."""
    prepare(settings.home)
    from flows.pipeline import pipeline

    return pipeline(
        settings=settings.model_dump(mode="json"),
        sources={source: [str(path) for path in paths] for source, paths in sources.items()},
    )
