"""Connections to the two DuckDB files: one that builds write, one that anybody reads."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edpipe.errors import ContractError, EdpipeError
from edpipe.settings import Settings
from edpipe.warehouse.lock import busy_error, writer_lock
from edpipe.warehouse.project import duckdb_options

if TYPE_CHECKING:
    import duckdb


def quoted(name: str) -> str:
    """Return a name as a SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return text as a SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def connect(
    path: Path | None, settings: Settings, *, read_only: bool, more_options: Mapping[str, Any] | None = None
) -> duckdb.DuckDBPyConnection:
    """Open a DuckDB file, or none but memory, with the options of the settings; those that are given win.

    Raises
    ------
    WarehouseBusyError
        If another process has the file open for writing.
    """
    import duckdb

    options = duckdb_options(settings) | dict(more_options or {})
    zone = options.pop("TimeZone")
    Path(options["temp_directory"]).mkdir(parents=True, exist_ok=True)
    try:
        connection = duckdb.connect(str(path or ":memory:"), read_only=read_only, config=options)
    except duckdb.IOException as error:
        refused = open_error(error, path, settings, read_only=read_only)
        if refused is None:
            raise
        raise refused from error
    # The zone belongs to an extension and cannot be given at connect time.
    connection.execute(f"SET TimeZone = {literal(zone)}")
    return connection


def open_error(
    error: Exception, path: Path | None, settings: Settings, *, read_only: bool
) -> EdpipeError | None:
    """Return what it means that a file does not open: it is being written, or damaged; None: neither."""
    found = str(error).splitlines()[0]
    if "lock" in str(error):
        return busy_error(settings, found)
    if path is not None and path.is_file() and read_only:
        return ContractError(
            "The published file cannot be opened.",
            where=str(path),
            found=found,
            expected="a DuckDB file as a build writes it",
            next_step="Run `edpipe publish`, which writes it anew.",
            state="Nothing was changed.",
        )
    return None


@contextmanager
def open_writer(settings: Settings, doing: str = "writing") -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the warehouse for writing, alone.

    Raises
    ------
    WarehouseBusyError
        If another process is writing.
    """
    with writer_lock(settings, doing):
        connection = connect(settings.warehouse_path, settings, read_only=False)
        try:
            yield connection
        finally:
            connection.close()


@contextmanager
def open_reader(settings: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the published tables read-only; they stay as they are until the connection closes.

    Files on disk and other databases cannot be reached through this connection.

    Raises
    ------
    ContractError
        If nothing has been published yet.
    """
    connection = connect(_existing(settings), settings, read_only=True)
    try:
        connection.execute("SET enable_external_access = false")
        yield connection
    finally:
        connection.close()


@contextmanager
def open_sandbox(
    settings: Settings, prepare: Callable[[duckdb.DuckDBPyConnection], None] | None = None
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the published tables for SQL that nobody has read: as :func:`open_reader`, and shut for good.

    No setting can be changed, no extension comes in, names do not reach variables of Python, and memory and
    spilled data are limited by `settings.query`. Spilled data go to a folder of this query below
    ``<home>/tmp``, and with it.

    Parameters
    ----------
    settings
        Where the published tables are, and the limits.
    prepare
        What to do with a connection to memory alone before it is shut; without it, the published file is
        opened.

    Raises
    ------
    ContractError
        If nothing has been published yet.
    """
    path = None if prepare else _existing(settings)
    spill = settings.home.resolve() / "tmp" / f"query-{uuid.uuid4().hex}"
    options = {
        "memory_limit": f"{settings.query.memory_limit_mib}MiB",
        "temp_directory": str(spill),
        "max_temp_directory_size": f"{settings.query.spill_limit_mib}MiB",
        "autoload_known_extensions": False,
        "allow_community_extensions": False,
        "python_enable_replacements": False,
    }
    try:
        connection = connect(path, settings, read_only=path is not None, more_options=options)
        try:
            if prepare:
                prepare(connection)
            connection.execute("SET enable_external_access = false")
            connection.execute("SET lock_configuration = true")
            yield connection
        finally:
            connection.close()
    finally:
        shutil.rmtree(spill, ignore_errors=True)


def _existing(settings: Settings) -> Path:
    path = settings.published_path
    if not path.exists():
        raise ContractError(
            "Nothing has been published yet.",
            where=str(path),
            found="no such file",
            expected="the tables of a good build",
            next_step="Run `edpipe build` (after `edpipe ingest`), or `edpipe demo`. A forecaster can "
            "learn from a file instead: `edpipe --set tsdiff.file=FILE train tsdiff`.",
        )
    return path
