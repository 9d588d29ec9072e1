"""The verb that looks for drift: what came after the champion's training beside what it was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from edpipe.errors import ContractError
from edpipe.learning import family_of
from edpipe.operations.runs import Account, recorded
from edpipe.settings import Settings, load_settings

if TYPE_CHECKING:
    import polars as pl

FLAGGED = ("some", "strong")


@dataclass(frozen=True, slots=True)
class Drift:
    """What a check found.

    Attributes
    ----------
    model, version
        Whose drift: family, and version of its champion.
    since
        Time of the last row that it was trained on; None where later rows cannot be told: of one that was
        trained on a file, or on rows without times.
    rows
        One row a thing that was measured, with the columns of ``ops.drift`` from ``kind`` on; none where
        nothing came since.
    path
        File of the check; None where nothing came since.
    """

    model: str
    version: int
    since: datetime | None
    rows: pl.DataFrame
    path: Path | None

    @property
    def flagged(self) -> pl.DataFrame:
        """The rows whose drift is more than chance explains."""
        return self.rows.filter(self.rows["verdict"].is_in(FLAGGED))

    @property
    def is_flagged(self) -> bool:
        """Whether anything has drifted."""
        return self.flagged.height > 0

    @property
    def words(self) -> list[str]:
        """What was found, in sentences."""
        whose = f"{self.model} version {self.version}"
        if self.since is None:
            return [f"{whose}: trained on a file, or on rows without times; none can be told to be later."]
        if self.rows.is_empty():
            return [f"{whose}: nothing came after its training, which ends at {self.since}."]
        told = [
            f"{whose}: {row['verdict']} drift of {row['kind']} `{row['name']}`, {row['value']:.3f}."
            for row in self.flagged.iter_rows(named=True)
        ]
        return told or [f"{whose}: stable since {self.since}."]


def drift(model: str = "tracing", settings: Settings | None = None) -> Drift:
    """Compare what was published after the champion's training with the snapshot of that training.

    Inputs and scores by the population stability index, calibration by week, shares of items and KCs that
    training never met, and rows a day. The result is a row each in ``ops.drift``.

    Parameters
    ----------
    model
        ``tracing``, ``strategy``, ``tsdiff`` or ``diffumin``.
    settings
        Default: :func:`edpipe.load_settings`.

    Raises
    ------
    RegistryError
        If there is no champion.
    ContractError
        If no snapshot of its training has been kept, or nothing is published.
    """
    family = family_of(model)
    settings = settings or load_settings()
    import polars as pl

    from edpipe.datasets.series_source import FILE_SOURCE
    from edpipe.evaluation.drift.compare import SCHEMA, compare
    from edpipe.evaluation.drift.snapshot import SNAPSHOT_FILE, Snapshot
    from edpipe.families.drift_rows import drift_rows
    from edpipe.operations.drift_table import write_drift
    from edpipe.tracking.registry import champion
    from edpipe.training.run import read_run

    with recorded(settings, "drift", family=family.name, source=family.source(settings)) as recording:
        chosen = champion(settings, model)
        run = read_run(settings.runs_dir / chosen.run_key)
        nothing = pl.DataFrame(schema=SCHEMA)
        if run.source == FILE_SOURCE:
            return Drift(model, chosen.version, None, nothing, None)
        if not (run.run_dir / SNAPSHOT_FILE).exists():
            raise ContractError(
                "No snapshot of the champion's training has been kept.",
                where=str(run.run_dir / SNAPSHOT_FILE),
                found="no such file",
                expected="a snapshot, as evaluation writes it",
                next_step=f"Run `edpipe evaluate {model} --run {run.run_dir}`.",
                state="Nothing was written.",
            )
        snapshot = Snapshot.load(run.run_dir)
        if snapshot.until is None:
            return Drift(model, chosen.version, None, nothing, None)
        rows = drift_rows(settings, run, "since", since=snapshot.until, version=chosen.version)
        if rows.is_empty():
            return Drift(model, chosen.version, snapshot.until, nothing, None)
        found = compare(snapshot, rows)
        path = write_drift(settings, found, family=model, version=chosen.version, since=snapshot.until)
        recording.made(lambda: Account(rows_in=rows.height, inputs=[chosen.uri], outputs=[path]))
        return Drift(model, chosen.version, snapshot.until, found, path)
