"""Ingest logs of what students, or anybody, took up: ratings, clicks, plain sequences, tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from edpipe.errors import SettingsError, SourceError
from edpipe.raw import refuse_inputs_of_others
from edpipe.settings import Settings
from edpipe.sources.clicks_layouts import (
    MOVIELENS,
    MOVIELENS_HEADERS,
    SUFFIXES,
    TAOBAO,
    ClickColumns,
    ClicksName,
    Content,
    TextForm,
    dataset_name,
    layout_of,
)
from edpipe.sources.clicks_rows import ClicksFile, read_lines
from edpipe.sources.clicks_sequences import read_attributes, read_sequences
from edpipe.sources.clicks_tables import parquet_pieces, read_parquet_rows, text_form
from edpipe.sources.delivery_files import new_files
from edpipe.sources.delivery_keys import Arrivals
from edpipe.sources.delivery_landing import land_deliveries
from edpipe.sources.delivery_rows import delivery_rule
from edpipe.sources.landing import (
    IngestReport,
    RelationPlan,
    ShardContent,
    ShardJob,
    describe_input,
    land,
    shard_key,
)
from edpipe.sources.tutor_pieces import Head, Piece, cut, cut_quickly, read_bytes, read_head
from edpipe.sources.workers import num_workers

# Part of every shard's key: raise it when the same file would give other rows.
READER_VERSION: Final = 1
SYNTHETIC: Final = "synthetic_"
LICENCES: Final[dict[ClicksName, str]] = {
    "movielens": "GroupLens terms: research, no commercial use, passed on under the same terms",
    "taobao": "Tianchi terms: research, no commercial use",
    "sequences": "not stated: the terms of the log's publisher apply",
    "columns": "not stated: the terms of the log's publisher apply",
}
CONTENTS: Final[tuple[Content, ...]] = ("items", "behaviors")
_SMALL_BYTES: Final = 32 * 2**20


@dataclass(frozen=True, slots=True)
class _File:
    """One file: what its rows share, and how its text is read, where it is text of lines."""

    path: Path
    described: ClicksFile
    form: TextForm | None = None
    head: Head | None = None


def ingest_clicks(
    paths: Sequence[Path],
    settings: Settings,
    *,
    layout: str | None,
    columns: Mapping[str, str] | None = None,
    add: bool = False,
    dataset: str | None = None,
    max_rejects: float | None = None,
    dry_run: bool = False,
) -> IngestReport:
    """Land a log as ``raw/clicks/behaviors`` and, where it names its items, ``raw/clicks/items``.

    A file is read in pieces that end at line ends, so one larger than memory passes through; sequences and
    attributes are read whole. A file in a folder that the layout does not know is left out and named in the
    notes. Ids stand behind the name of their data set: that of the folder given (of ratings, of the folder
    around the file), else of the file.

    Parameters
    ----------
    paths
        Files, or folders that hold them.
    settings
        Where to write, how many workers, how large a piece.
    layout
        ``movielens``, ``taobao``, ``sequences`` or ``columns``.
    columns
        Names of the columns of a table, for ``columns``: some of ``student, item, time, category, outcome``.
    add
        Put the files to those that were read before: see :mod:`edpipe.sources.delivery_rows`. A table of
        items replaces the earlier one all the same.
    dataset
        Name of the data set that the files are of; by default that of the folder given, else of the file or,
        where files are added, of the folder that holds it.
    max_rejects
        Largest share of refused rows; by default ``settings.ingest.max_rejects``.
    dry_run
        Only say what would be done.

    Raises
    ------
    SettingsError
        If there is no such layout, a log without times is to be added to, or columns are named for another
        than ``columns``.
    SourceError
        If there is no log, one named is of another layout, a column is missing, two files have the same name,
        one has been ingested under another source, or too many rows are refused. The earlier state is left.
    """
    chosen = layout_of(layout)
    if columns and chosen != "columns":
        raise SettingsError(
            "Columns can be named for the layout `columns` only.",
            where=", ".join(f"flag `--{name}-column`" for name in columns),
            found=f"layout {chosen!r}",
            next_step="Leave the names out, or add `--layout columns`.",
            state="Nothing was written.",
        )
    named = ClickColumns.of(columns or {})
    if add and (chosen == "sequences" or (chosen == "columns" and not named.time)):
        raise _no_times(chosen)
    files, left_out = _find(paths, chosen, named)
    files = [_of_dataset(file, dataset, is_added=add) for file in files]
    arrivals = Arrivals((), "", 0)
    if add:
        behaviors = [file for file in files if file.described.content == "behaviors"]
        described = [(file.path, file.described.dataset) for file in behaviors]
        new, arrivals = new_files(settings, "clicks", "behaviors", described)
        files = [file for file in files if file not in behaviors or file.path in new]
    plans = [
        _plan(settings, chosen, named, content, of_content, left_out, dry_run=dry_run)
        for content in CONTENTS
        if (of_content := [file for file in files if file.described.content == content])
        or (content == "behaviors" and arrivals.num_known)
    ]
    results = []
    for plan in plans:
        # Starting a process takes as long as reading a small file.
        is_small = sum(job.weight for job in plan.jobs) < _SMALL_BYTES
        workers = 1 if is_small else num_workers(settings.ingest.workers)
        if add and plan.relation == "behaviors":
            rule = delivery_rule("clicks", "behaviors")
            result = land_deliveries(
                settings, plan, rule, arrivals, max_rejects=max_rejects, dry_run=dry_run, workers=workers
            )
        else:
            result = land(settings, plan, max_rejects=max_rejects, dry_run=dry_run, workers=workers)
        results.append(result)
    return IngestReport(results, dry_run=dry_run)


def _find(paths: Sequence[Path], layout: ClicksName, columns: ClickColumns) -> tuple[list[_File], list[str]]:
    """Return the files to read, by name, and notes on those of folders that are left out."""
    found: dict[Path, _File] = {}
    left_out: list[str] = []
    for given in paths:
        candidates = sorted(given.iterdir()) if given.is_dir() else [given]
        for path in candidates:
            if given.is_dir() and (not path.is_file() or path.suffix.lower() not in SUFFIXES[layout]):
                continue
            file = _recognize(path, dataset_name(path, given, layout), layout, columns)
            if file:
                found[path.resolve()] = file
            elif given.is_dir():
                left_out.append(f"{path.name}: left out, not of the layout {layout}")
            else:
                raise _other_layout(path, layout)
    files = sorted(found.values(), key=lambda file: file.path.name)
    _refuse_same_names(files)
    if not any(file.described.content == "behaviors" for file in files):
        raise SourceError(
            "There is no log of what students took up.",
            where=", ".join(map(str, paths)),
            found="; ".join([*(file.path.name for file in files), *left_out]),
            expected=f"a file of the layout {layout}, as docs/data/clicks.md describes it",
            next_step="Check the path and the layout.",
            state="Nothing was written.",
        )
    return files, left_out


def _of_dataset(file: _File, dataset: str | None, *, is_added: bool) -> _File:
    """Name the data set where the caller does, or where a file a day must not be a data set a day."""
    name = dataset or (file.path.resolve().parent.name if is_added else "")
    return replace(file, described=replace(file.described, dataset=name)) if name else file


def _recognize(path: Path, dataset: str, layout: ClicksName, columns: ClickColumns) -> _File | None:
    """Return how a file is read, or None where it is of another layout."""
    described = ClicksFile(path.name, dataset, "behaviors")
    if layout == "sequences" and path.suffix.lower() == ".json":
        return _File(path, ClicksFile(path.name, dataset, "items"))
    if layout == "columns" and path.suffix.lower() == ".parquet":
        return _File(path, described)
    head = read_head(path)
    if head is None:
        return None
    if layout == "sequences":
        # Prose about the data lies beside them, in files of the same suffix.
        numbers = head.line.split()
        return _File(path, described) if len(numbers) > 1 and all(map(str.isdecimal, numbers)) else None
    if layout == "columns":
        return _File(path, described, text_form(path, head.line, columns), head)
    form = TAOBAO if layout == "taobao" else MOVIELENS.get(path.name.lower())
    if form is None or not _is_of(form, path, head.line):
        return None
    if not form.has_header:
        head = Head(head.line, head.newline, 0)
    return _File(path, ClicksFile(path.name, dataset, form.content), form, head)


def _is_of(form: TextForm, path: Path, line: str) -> bool:
    """Say whether the first line is one of this form."""
    cells = [cell.strip() for cell in line.removeprefix("\ufeff").split(form.separator)]
    if form.has_header:
        return cells == MOVIELENS_HEADERS[path.name.lower()]
    if len(cells) != form.width:
        return False
    # A header where none belongs would become a row.
    return "time" not in form.cells or cells[form.cells["time"]].lstrip("-").isdecimal()


def _plan(
    settings: Settings,
    layout: ClicksName,
    columns: ClickColumns,
    content: Content,
    files: Sequence[_File],
    left_out: Sequence[str],
    *,
    dry_run: bool,
) -> RelationPlan:
    inputs = [describe_input(file.path) for file in files]
    refuse_inputs_of_others(settings.raw_dir, "clicks", inputs)
    size = settings.ingest.shard_mib * 2**20
    jobs = []
    for file, entry in zip(files, inputs, strict=True):
        identity = (
            "clicks",
            READER_VERSION,
            layout,
            columns.named() if layout == "columns" else "",
            file.described.dataset,
            file.path.name,
            entry.sha256 or (entry.size, entry.mtime_ns),
        )
        jobs += [
            ShardJob(shard_key(*identity, start, end), weight, produce)
            for start, end, weight, produce in _pieces(file, columns, size, dry_run=dry_run)
        ]
    synthetic = bool(files) and all(file.path.name.startswith(SYNTHETIC) for file in files)
    notes = [f"{file.path.name}: {_what(file)}, data set {file.described.dataset}" for file in files]
    return RelationPlan(
        source="clicks",
        relation=content,
        jobs=jobs,
        inputs=inputs,
        release=", ".join(sorted({file.described.dataset for file in files})),
        licence="" if not files else "none: synthetic students" if synthetic else LICENCES[layout],
        notes=[*notes, *left_out],
    )


def _pieces(
    file: _File, columns: ClickColumns, size: int, *, dry_run: bool
) -> list[tuple[int, int, int, partial[ShardContent]]]:
    """Return first and last byte or row, weight, and what reads it, of each piece of a file."""
    total = file.path.stat().st_size
    if file.form is None or file.head is None:
        if file.path.suffix.lower() != ".parquet":
            return [(0, total, total, partial(_produce_whole, file.path, file.described))]
        cuts = parquet_pieces(file.path, columns, size)
        return [
            (
                first,
                first + rows,
                total // len(cuts),
                partial(read_parquet_rows, file.path, file.described, columns, first, rows),
            )
            for first, rows in cuts
        ]
    form, head = file.form, file.head
    if dry_run and not form.is_quoted:
        pieces = cut_quickly(file.path, head, size)
    else:
        pieces = cut(file.path, head, size, separator=form.separator, is_quoted=form.is_quoted)
    return [
        (
            piece.start,
            piece.end,
            piece.end - piece.start,
            partial(_produce_lines, file.path, file.described, form, head.newline, piece),
        )
        for piece in pieces
    ]


def _produce_lines(
    path: Path, described: ClicksFile, form: TextForm, newline: str, piece: Piece
) -> ShardContent:
    data = read_bytes(path, piece.start, piece.end - piece.start)
    if len(data) < piece.end - piece.start:
        raise SourceError(
            "A log became shorter while it was read.",
            where=str(path),
            found=f"{piece.start + len(data):,} bytes",
            expected=f"{piece.end:,} or more",
            next_step="Wait until the file is complete, then run the same command again.",
            state="The earlier state still counts.",
        )
    return read_lines(data, described, form, newline=newline, first_row=piece.first_row)


def _produce_whole(path: Path, described: ClicksFile) -> ShardContent:
    if described.content == "items":
        return read_attributes(path, described)
    return read_sequences(read_bytes(path, 0, path.stat().st_size), described)


def _what(file: _File) -> str:
    if file.form is not None:
        return file.form.name
    if file.path.suffix.lower() == ".parquet":
        return "a table"
    return "attributes of items" if file.described.content == "items" else "sequences in order, without times"


def _refuse_same_names(files: Sequence[_File]) -> None:
    by_name: dict[str, Path] = {}
    for file in files:
        other = by_name.setdefault(file.path.name, file.path)
        if other != file.path:
            raise SourceError(
                "Two logs have the same name, so their rows could not be told apart.",
                where=f"{other}, {file.path}",
                expected="a name for each",
                next_step="Rename one, or leave one out.",
                state="Nothing was written.",
            )


def _no_times(layout: ClicksName) -> SettingsError:
    return SettingsError(
        "A log without times cannot be added to.",
        where="flag `--add`",
        found=f"layout {layout!r}" + (" without a column of times" if layout == "columns" else ""),
        expected="rows with times: without them nothing says whether a row is new, or what came first",
        next_step="Name the column with `--time-column`, or ingest all files in one command without `--add`.",
        state="Nothing was written.",
    )


def _other_layout(path: Path, layout: ClicksName) -> SourceError:
    names = f"named {', '.join(MOVIELENS)}, " if layout == "movielens" else ""
    return SourceError(
        f"A file is not of the layout {layout}.",
        where=f"{path}, line 1",
        expected=f"a file {names}with the lines that docs/data/clicks.md shows",
        next_step="Name another layout, or `--layout columns` with the names of the columns.",
        state="Nothing was written.",
    )
