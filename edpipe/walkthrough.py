"""The demo: synthetic students through the whole pipeline, in a folder of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from edpipe.errors import EdpipeError
from edpipe.learning import MODELS, comparison

if TYPE_CHECKING:
    import polars as pl

    from edpipe.settings import Settings

FLOWS_GROUP = "edpipe.flows"
ARCHIVES = "archives"
FINISHED = "finished"
# The synthetic tutor: enough problems and KCs a section that strategies can differ.
PROBLEMS_A_SECTION = 8
KCS_A_SECTION = 6
STRATEGIES_A_PROBLEM = 4
Flow = Callable[["Settings", Mapping[str, Sequence[Path]]], dict[str, str]]


@dataclass(frozen=True, slots=True)
class DemoResult:
    """What the demo made.

    ``metrics`` compares the models of each family with their baselines on the test part.
    """

    home: Path
    report: Path
    metrics: dict[str, pl.DataFrame]


def demo_home(settings: Settings) -> Path:
    """Return the folder of the demo: its source is named as a real one, so it must not share a warehouse."""
    return settings.home / "demo"


def run_demo(settings: Settings) -> DemoResult:
    """Run the pipeline flow on synthetic archives and tutor logs; a second run only shows the result."""
    home = demo_home(settings)
    chosen = settings.model_copy(update={"home": home})
    made = _flow("pipeline")(chosen, {"ednet": [_archives(chosen)], "kddcup": [_tutor_log(chosen)]})
    metrics = {model: comparison(Path(made[model])) for model in MODELS if model in made}
    return DemoResult(home=home, report=Path(made["report"]), metrics=metrics)


def _archives(settings: Settings) -> Path:
    """Write the archives once for each size and seed."""
    from edpipe.sources.synthetic import write_ednet

    size = settings.synthetic

    def write(folder: Path) -> None:
        write_ednet(
            folder,
            num_students=size.students,
            num_items=size.items,
            seed=settings.seed,
            progress=settings.progress,
        )

    return _once(settings, f"{size.students}-students-{size.items}-items-seed-{settings.seed}", write)


def _tutor_log(settings: Settings) -> Path:
    """Write the log of a tutor once for each size and seed."""
    from edpipe.sources.synthetic import draw_tutor_world, write_kddcup

    size = settings.synthetic

    def write(folder: Path) -> None:
        world = draw_tutor_world(
            size.tutor_students,
            size.tutor_sections,
            PROBLEMS_A_SECTION,
            KCS_A_SECTION * size.tutor_sections,
            strategies_per_problem=STRATEGIES_A_PROBLEM,
            seed=settings.seed,
        )
        write_kddcup(folder, world, with_master=True, keep_truth=False)

    name = f"tutor-{size.tutor_students}-students-{size.tutor_sections}-sections-seed-{settings.seed}"
    return _once(settings, name, write)


def _once(settings: Settings, name: str, write: Callable[[Path], None]) -> Path:
    """Write a folder of archives unless it is finished."""
    folder = settings.home / ARCHIVES / name
    if not (folder / FINISHED).exists():
        folder.mkdir(parents=True, exist_ok=True)
        write(folder)
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
