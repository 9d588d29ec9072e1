"""The verbs of edpipe as functions: what the command line and the flows call.

Heavy parts are imported inside each verb, so that ``import edpipe`` and ``edpipe --help`` stay quick.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edpipe import accounts
from edpipe.errors import SettingsError, SourceError
from edpipe.operations.runs import recorded
from edpipe.raw import (
    RAW_SCHEMAS,
    TUTOR_SOURCES,
    landed,
    refuse_inputs_of_others,
    refuse_missing_shards,
)
from edpipe.setting_groups import closest
from edpipe.settings import Settings, load_settings

if TYPE_CHECKING:
    import polars as pl

    from edpipe.machine import Check
    from edpipe.sources.landing import IngestReport
    from edpipe.walkthrough import DemoResult
    from edpipe.warehouse import BuildPlan, BuildReport, RelationInfo, WarehouseStatus

SOURCES = tuple(dict.fromkeys(source for source, _ in RAW_SCHEMAS))


def ingest(
    source: str,
    paths: Sequence[Path | str],
    settings: Settings | None = None,
    *,
    students: int | None = None,
    fraction: float | None = None,
    layout: str | None = None,
    columns: Mapping[str, str] | None = None,
    add: bool = False,
    dataset: str | None = None,
    max_rejects: float | None = None,
    dry_run: bool = False,
) -> IngestReport:
    """Read foreign files into raw Parquet; a second run does nothing, a killed one goes on.

    Parameters
    ----------
    source
        ``ednet``, ``assistments``, a log of tutors: ``kddcup``, ``datashop``, ``mathia``; or ``clicks``: any
        log of what students took up.
    paths
        Archives, folders or single files, as downloaded.
    settings
        Default: :func:`edpipe.load_settings`.
    students, fraction
        Reproducible subset by a hash of the student id (EdNet): this share in (0, 1], or the share
        ``students / 784309`` of EdNet's published number, whatever students are present.
    layout
        Of ``clicks``: ``movielens``, ``taobao``, ``sequences`` or ``columns``.
    columns
        Of the layout ``columns``: names of the columns that hold ``student``, ``item``, ``time``,
        ``category`` and ``outcome``, some or all.
    add
        Put the files to those read before instead of in their place: files known are not read, a student in
        several files is one, rows that stand in several are there once.
    dataset
        Of logs of tutors and ``clicks``: name of the data set that the files are of. By default told from
        the names of files and folders; where files are added, that of the folder that holds them.
    max_rejects
        Share of unusable rows, in [0, 1], above which the step fails.
    dry_run
        Say what would be done and write nothing.

    Raises
    ------
    SettingsError
        If there is no such source or layout, or an argument is for another source.
    SourceError
        If a file is missing, damaged, dangerous, or holds too many unusable rows.
    """
    settings = settings or load_settings()
    with recorded(settings, "ingest", source=source, is_dry_run=dry_run) as run:
        report = _ingest(
            source,
            [Path(path) for path in paths],
            settings,
            students=students,
            fraction=fraction,
            layout=layout,
            columns=columns,
            add=add,
            dataset=dataset,
            max_rejects=max_rejects,
            dry_run=dry_run,
        )
        run.made(lambda: accounts.of_ingest(report, settings))
    return report


def _ingest(
    source: str,
    found: Sequence[Path],
    settings: Settings,
    *,
    students: int | None,
    fraction: float | None,
    layout: str | None,
    columns: Mapping[str, str] | None,
    add: bool,
    dataset: str | None,
    max_rejects: float | None,
    dry_run: bool,
) -> IngestReport:
    """Refuse what does not belong together, then ask the source."""
    _refuse_wrong_arguments(source, found)
    if dataset is not None and source not in (*TUTOR_SOURCES, "clicks"):
        raise SettingsError(
            "A data set is named for logs of tutors and clicks; the others have but one.",
            where="flag `--dataset`",
            found=f"source {source!r}",
            next_step="Leave the flag out.",
            state="Nothing was written.",
        )
    if source != "clicks" and (layout is not None or columns):
        raise SettingsError(
            "Layouts and columns are named for the source clicks; those of others are told from the files.",
            where="flags `--layout`, `--student-column`, …",
            found=f"source {source!r}",
            next_step="Leave the flags out.",
            state="Nothing was written.",
        )
    if source == "ednet":
        from edpipe.sources.ednet import ingest_ednet

        return ingest_ednet(
            found,
            settings,
            students=students,
            fraction=fraction,
            add=add,
            max_rejects=max_rejects,
            dry_run=dry_run,
        )
    if students is not None or fraction is not None:
        raise SettingsError(
            "Subsets by student are for EdNet's archives.",
            where="flags `--students`, `--fraction`",
            found=f"source {source!r}",
            next_step="Leave the flags out.",
            state="Nothing was written.",
        )
    if source == "clicks":
        from edpipe.sources.clicks import ingest_clicks

        return ingest_clicks(
            found,
            settings,
            layout=layout,
            columns=columns,
            add=add,
            dataset=dataset,
            max_rejects=max_rejects,
            dry_run=dry_run,
        )
    if source in TUTOR_SOURCES:
        from edpipe.sources.tutor import ingest_tutor

        return ingest_tutor(
            source, found, settings, add=add, dataset=dataset, max_rejects=max_rejects, dry_run=dry_run
        )
    if add:
        raise SettingsError(
            "Files of ASSISTments cannot be added: their rows have no times.",
            where="flag `--add`",
            found=f"source {source!r}",
            expected="rows with times: without them nothing says whether a row is new, or what came first",
            next_step="Ingest all files in one command.",
            state="Nothing was written.",
        )
    from edpipe.sources.assistments import ingest_assistments

    return ingest_assistments(found, settings, max_rejects=max_rejects, dry_run=dry_run)


def _refuse_wrong_arguments(source: str, paths: Sequence[Path]) -> None:
    """Refuse an unknown source and paths that are not there, all in one message."""
    missing = [str(path) for path in paths if not path.exists()]
    where, expected = "argument PATHS", "an archive, a folder or a file as downloaded"
    absent = f"no such file or folder: {', '.join(missing)}"
    if source in SOURCES and missing:
        raise SourceError(
            "The source does not exist.",
            where=where,
            found=absent,
            expected=expected,
            next_step="Check the path; `edpipe ingest --help` shows examples.",
            state="Nothing was written.",
        )
    if source not in SOURCES:
        raise SettingsError(
            f"There is no source {source!r}" + (", nor are there the files." if missing else "."),
            where="argument SOURCE" + (f"; {where}" if missing else ""),
            found=repr(source) + (f"; {absent}" if missing else ""),
            expected=f"one of {', '.join(SOURCES)}" + (f"; {expected}" if missing else ""),
            next_step=closest(source, list(SOURCES)),
            state="Nothing was written.",
        )


def plan(settings: Settings | None = None) -> BuildPlan:
    """Say what :func:`build` would do and why, with row estimates; writes nothing."""
    from edpipe import warehouse

    return warehouse.plan_build(_with_data(settings))


def build(
    settings: Settings | None = None, *, models: Sequence[str] = (), full: bool = False, dry_run: bool = False
) -> BuildReport:
    """Build the SQL models that changed, audit them, publish; nothing changed means nothing done.

    Parameters
    ----------
    settings
        Default: :func:`edpipe.load_settings`.
    models
        Names such as ``core.interactions``; these and what depends on them are built. Empty: all.
    full
        Build everything again.
    dry_run
        Only plan.

    Raises
    ------
    ContractError
        If an audit fails; the published tables stay as they were.
    WarehouseBusyError
        If another process is building.
    """
    from edpipe import warehouse

    settings = settings or load_settings()
    with recorded(settings, "build", is_dry_run=dry_run) as run:
        report = warehouse.build(_with_data(settings), models=models, full=full, dry_run=dry_run)
        run.made(lambda: accounts.of_build(report, settings))
    return report


def publish(settings: Settings | None = None) -> Path:
    """Replace ``published.duckdb`` by rename, predictions included, and return its path."""
    from edpipe import warehouse

    settings = settings or load_settings()
    with recorded(settings, "publish") as run:
        published = warehouse.publish(settings)
        run.made(lambda: accounts.of_publish(published, settings))
    return published


def show(relation: str, settings: Settings | None = None) -> RelationInfo:
    """Describe a relation: columns with meaning, audits, row count, sample rows, lineage."""
    from edpipe import warehouse

    return warehouse.describe(settings or load_settings(), relation)


def sql(query: str, settings: Settings | None = None) -> pl.DataFrame:
    """Answer a query over the published tables, read-only.

    Raises
    ------
    ContractError
        If the query is wrong or tries to write, or nothing has been published yet.
    """
    from edpipe import warehouse

    return warehouse.query(settings or load_settings(), query)


def status(settings: Settings | None = None) -> WarehouseStatus:
    """Say what exists, how old it is, what is stale and who holds the warehouse."""
    from edpipe import warehouse

    return warehouse.status(settings or load_settings())


def runs(settings: Settings | None = None, *, failed: bool = False, limit: int | None = None) -> pl.DataFrame:
    """Return the runs of steps, the latest first, with the columns of ``ops.runs``, as they are now.

    Parameters
    ----------
    settings
        Default: :func:`edpipe.load_settings`.
    failed
        Only those that failed or were killed.
    limit
        Most rows, at least 1; by default all.

    Raises
    ------
    SettingsError
        If the limit is below 1.
    """
    from edpipe.operations.run_table import UNFORTUNATE, run_table

    if limit is not None and limit < 1:
        raise SettingsError(
            "The number of runs is out of range.",
            where="flag `--limit`",
            found=str(limit),
            expected="at least 1",
        )
    found = run_table(settings or load_settings()).reverse()
    if failed:
        found = found.filter(found["outcome"].is_in(UNFORTUNATE))
    return found if limit is None else found.head(limit)


def _with_data(settings: Settings | None) -> Settings:
    """Refuse to build from nothing, or from shards that are gone."""
    settings = settings or load_settings()
    if not landed(settings.raw_dir):
        raise SourceError(
            "Nothing has been ingested yet.",
            where=str(settings.raw_dir),
            expected="raw relations of at least one source",
            next_step="Run `edpipe ingest ednet …`, or `edpipe demo`.",
            state="Nothing was changed.",
        )
    refuse_missing_shards(settings.raw_dir)
    for manifest in landed(settings.raw_dir):
        refuse_inputs_of_others(settings.raw_dir, manifest.source, manifest.inputs)
    return settings


def doctor(settings: Settings | None = None) -> list[Check]:
    """Check this machine: Python, packages, device, cores, memory, disk, home folder, servers."""
    from edpipe.machine import examine

    return examine(settings or load_settings())


def demo(settings: Settings | None = None) -> DemoResult:
    """Run the whole pipeline on synthetic students, below ``<home>/demo``.

    Needs no server, GPU or network. A second run finds everything up to date.

    Parameters
    ----------
    settings
        Default: the preset ``smoke``. `settings.synthetic` gives the size.
    """
    from edpipe.walkthrough import run_demo

    return run_demo(settings or load_settings("smoke"))
