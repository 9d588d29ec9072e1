"""What the verbs ask of a family of models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import polars as pl

    from edpipe.evaluation.results import Evaluation
    from edpipe.settings import Settings
    from edpipe.tracking.registry import ModelVersion
    from edpipe.training.run import TrainingRun


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A training run, how good it is, and under which version it is registered.

    ``statements`` says in words what the figures mean, where the family has something to say.
    """

    run: TrainingRun
    evaluation: Evaluation
    version: ModelVersion
    statements: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Made:
    """Something that a verb made on the way, or found: a table of it, and words.

    Attributes
    ----------
    title
        Title of the table.
    rows
        What was compared.
    words
        The rest, in sentences.
    folder
        Where it is kept.
    is_new
        False if it was there already.
    caption
        What the columns of the table mean.
    """

    title: str
    rows: pl.DataFrame
    words: tuple[str, ...]
    folder: Path
    is_new: bool
    caption: str = ""

    @property
    def line(self) -> str:
        """What it is and where, in one line."""
        first = self.words[0].rstrip(".")
        return first if str(self.folder) in first else f"{first}; in {self.folder}"


OnMade = Callable[[Made], None]


class Family(Protocol):
    """One family: how its models are trained, judged and used. Heavy parts are imported when called.

    Attributes
    ----------
    name
        Word of the command line, of ``run.json`` and of the registry.
    group
        Group of settings that names the source.
    titles
        Metrics of the comparison in order, with their titles; the first orders the models.
    lowest_first
        Whether the lowest value of that metric is best; otherwise the highest is.
    validation
        Metrics of a registered version on validation rows, with their titles; the first decides who is
        champion.
    rows
        What one scored row is, in the plural.
    subject, subjects
        Whose rows they are, and whom intervals draw again: one, and several.
    tables
        Prediction tables that scoring writes.
    """

    name: str
    group: str
    titles: Mapping[str, str]
    validation: Mapping[str, str]
    lowest_first: bool
    rows: str
    subject: str
    subjects: str
    tables: tuple[str, ...]

    def source(self, settings: Settings) -> str:
        """Return the source whose rows the models learn from."""
        ...

    def train(
        self, settings: Settings, *, resume: bool, dry_run: bool, on_made: OnMade | None
    ) -> TrainingRun:
        """Train, or find trained."""
        ...

    def evaluate(self, settings: Settings, run: TrainingRun) -> Evaluated:
        """Score a run beside the baselines and register it."""
        ...

    def rescore(
        self, settings: Settings, champion: ModelVersion, candidate: ModelVersion
    ) -> dict[str, float]:
        """Measure the champion on the candidate's validation rows."""
        ...

    def score(self, settings: Settings, chosen: ModelVersion) -> list[Path]:
        """Write the prediction tables by a registered version, and return their files."""
        ...
