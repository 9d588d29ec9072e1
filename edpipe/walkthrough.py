"""The demo: synthetic students through the whole pipeline, in a folder of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from edpipe.errors import EdpipeError
from edpipe.learning import comparison

if TYPE_CHECKING:
    import polars as pl

    from edpipe.settings import Settings

FLOWS_GROUP = "edpipe.flows"
ARCHIVES = "archives"
FINISHED = "finished"
Flow = Callable[["Settings", str, Sequence[Path]], dict[str, str]]


@dataclass(frozen=True, slots=True)
class DemoResult:
    """What the demo made.

    ``metrics`` compares the tracer with the baselines on the test students.
    """

    home: Path
    report: Path
    metrics: pl.DataFrame


def demo_home(settings: Settings) -> Path:
    """Return the folder of the demo: its source is named as a real one, so it must not share a warehouse."""
    return settings.home / "demo"


def run_demo(settings: Settings) -> DemoResult:
    """Run the pipeline flow on synthetic EdNet archives; a second run only shows the result."""
    home = demo_home(settings)
    chosen = settings.model_copy(update={"home": home})
    archives = _archives(chosen)
    made = _flow("pipeline")(chosen, "ednet", [archives])
    return DemoResult(home=home, report=Path(made["report"]), metrics=comparison(Path(made["run_dir"])))


def _archives(settings: Settings) -> Path:
    """Write the archives once for each size and seed."""
    from edpipe.sources.synthetic import write_ednet

    size = settings.synthetic
    folder = settings.home / ARCHIVES / f"{size.students}-students-{size.items}-items-seed-{settings.seed}"
    if not (folder / FINISHED).exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_ednet(
            folder,
            num_students=size.students,
            num_items=size.items,
            seed=settings.seed,
            progress=settings.progress,
        )
        (folder / FINISHED).touch()
    return folder


def _flow(name: str) -> Flow:
    """Find a flow by name: the library imports no orchestrator, an installed checkout offers its flows."""
    for entry in metadata.entry_points(group=FLOWS_GROUP, name=name):
        found: Flow = entry.load()
        return found
    raise EdpipeError(
        f"The flow {name!r} is not installed.",
        where=f"entry points of the group `{FLOWS_GROUP}`",
        expected="a checkout installed by `make setup`",
        next_step="Run `make setup`.",
    )
