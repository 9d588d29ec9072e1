"""What each step read and made, for its line in ``ops.runs``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edpipe.operations.runs import Account
from edpipe.raw import Manifest, landed

if TYPE_CHECKING:
    from edpipe.families.family import Evaluated, Made
    from edpipe.settings import Settings
    from edpipe.sources.landing import IngestReport
    from edpipe.tracking.promotion import Promotion
    from edpipe.training.run import TrainingRun
    from edpipe.warehouse import BuildReport

SHORT = 12


def of_ingest(report: IngestReport, settings: Settings) -> Account:
    """Count source rows and rows kept, of deliveries those read and added; up to date where nothing was."""
    manifests = [one.manifest for one in report.relations if one.manifest is not None]
    return Account(
        rows_in=sum(one.read_rows for one in report.relations),
        rows_out=sum(one.written_rows for one in report.relations),
        inputs=list(dict.fromkeys(entry.path for one in manifests for entry in one.inputs)),
        outputs=[_raw(one, settings) for one in manifests],
        is_up_to_date=report.shards_written == 0,
    )


def of_build(report: BuildReport, settings: Settings) -> Account:
    """Count raw rows and rows of the relations that were built."""
    manifests = landed(settings.raw_dir)
    return Account(
        rows_in=sum(one.rows for one in manifests),
        rows_out=sum(one.rows or 0 for one in report.models) if report.models else None,
        inputs=[_raw(one, settings) for one in manifests],
        outputs=[report.published, *(one.name for one in report.models)],
        is_up_to_date=not report.models,
    )


def of_publish(published: Path, settings: Settings) -> Account:
    """Count the rows of all published relations."""
    from edpipe import warehouse

    rows = sum(warehouse.status(settings).relations.values())
    return Account(rows_out=rows, inputs=[settings.warehouse_path], outputs=[published])


def of_made(made: Made, settings: Settings) -> Account:
    """Tell where an embedding or clusters are."""
    return Account(inputs=[settings.published_path], outputs=[made.folder], is_up_to_date=not made.is_new)


def of_training(run: TrainingRun) -> Account:
    """Tell which data were learned from, and where the run is."""
    return Account(
        inputs=[f"{run.source}@{run.fingerprint[:SHORT]}"],
        outputs=[run.run_dir],
        is_up_to_date=not run.is_new,
    )


def of_evaluation(done: Evaluated, *, is_up_to_date: bool) -> Account:
    """Count the scored test rows."""
    counted = done.evaluation.metrics.filter(split="test", subset="all")["num_interactions"]
    return Account(
        rows_in=counted.item(0) if len(counted) else None,
        inputs=[done.run.run_dir],
        outputs=[done.version.uri],
        is_up_to_date=is_up_to_date,
    )


def of_promotion(decided: Promotion) -> Account:
    """Tell who asked for the alias and who has it."""
    return Account(
        inputs=[f"models:/{decided.name}/{decided.version}"],
        outputs=[f"models:/{decided.name}/{decided.champion}"],
        is_up_to_date=decided.previous == decided.version,
    )


def stamps(settings: Settings, tables: Sequence[str]) -> dict[Path, int]:
    """Return when each prediction table that is there was written, in ns."""
    from edpipe.families.tables import table_path

    paths = [table_path(settings, name.removeprefix("predictions.")) for name in tables]
    return {path: path.stat().st_mtime_ns for path in paths if path.exists()}


def of_scores(paths: Sequence[Path], champion: str, before: Mapping[Path, int]) -> Account:
    """Count the rows of the prediction tables; up to date where all are as old as ``before``."""
    import pyarrow.parquet as pq

    return Account(
        rows_out=sum(pq.read_metadata(path).num_rows for path in paths),
        inputs=[champion],
        outputs=paths,
        is_up_to_date=all(path.stat().st_mtime_ns == before.get(path) for path in paths),
    )


def of_report(output: Path, settings: Settings) -> Account:
    """Tell where the page is."""
    return Account(inputs=[settings.published_path], outputs=[output])


def _raw(manifest: Manifest, settings: Settings) -> str:
    folder = settings.raw_dir / manifest.source / manifest.relation
    return f"{folder}@{manifest.fingerprint[:SHORT]}"
