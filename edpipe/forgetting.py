"""The verb that forgets students: out of the raw layer and what was made from it, with a search as proof."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from edpipe.errors import EdpipeError, SettingsError
from edpipe.forgotten import FOLDER, Student, remember_to_forget
from edpipe.keys import replace_private
from edpipe.settings import Settings, load_settings

if TYPE_CHECKING:
    from edpipe.privacy.scrub import Scrubbed
    from edpipe.privacy.search import SearchResult
    from edpipe.sources.forget import RawRows

JOURNAL: Final = "forgetting.json"
STATE_OF_NOTHING: Final = "Nothing was changed."


@dataclass(frozen=True, slots=True)
class TrainedOnThem:
    """A model that may have learned from the forgotten: its family, run, and registered versions."""

    model: str
    run_key: str
    versions: tuple[str, ...]
    next_step: str


@dataclass(frozen=True, slots=True)
class ForgetReport:
    """What forgetting did; in a dry run, what it would do.

    Attributes
    ----------
    num_students
        How many were asked for, those of an unfinished earlier call included.
    raw
        Their rows in the raw layer, before.
    scrubbed
        Derived files that were changed or deleted.
    search
        What was searched afterwards; None in a dry run.
    models
        Models that were trained on data with them.
    """

    num_students: int
    raw: tuple[RawRows, ...]
    scrubbed: tuple[Scrubbed, ...] = ()
    search: SearchResult | None = None
    models: tuple[TrainedOnThem, ...] = ()


def forget(
    students: Iterable[str] = (), settings: Settings | None = None, *, dry_run: bool = False
) -> ForgetReport:
    """Remove students from everything below home, for good: they do not come back by ingestion.

    Killed at any moment, it goes on when called again, with or without students; until then a journal that
    only its owner can read holds their ids.

    Parameters
    ----------
    students
        Ids as in ``core.students``; of tutors and clicks the data set stands before them: ``algebra/stu_1``
        or ``algebra:stu_1``. The bare id will do where only one data set has it.
    settings
        Default: :func:`edpipe.load_settings`.
    dry_run
        Count their rows and change nothing.

    Raises
    ------
    SettingsError
        If an id names nobody, or several.
    WarehouseBusyError
        If another process is writing.
    EdpipeError
        If they are still found afterwards, in files that edpipe did not write.
    """
    from edpipe.sources.forget import count_raw_rows

    settings = settings or load_settings()
    journal = settings.home / FOLDER / JOURNAL
    unfinished = _read_journal(journal)
    chosen = sorted({*unfinished, *_resolved(settings, sorted(set(students)), unfinished)})
    if not chosen:
        raise SettingsError(
            "Nobody is named.",
            where="arguments STUDENT, flag `--file`",
            expected="ids of students as in core.students",
            state=STATE_OF_NOTHING,
        )
    _refuse_deliveries(settings, {one.source for one in chosen})
    raw = tuple(count_raw_rows(settings, chosen))
    models = tuple(_trained_on(settings, {one.source for one in chosen}))
    if dry_run:
        return ForgetReport(len(chosen), raw, models=models)
    scrubbed = _remove(settings, journal, chosen)
    result = _prove(settings, journal, chosen)
    if result.found:
        raise EdpipeError(
            "The students are still found in files that edpipe did not write.",
            where=", ".join(str(path) for path in result.found[:5]),
            found=f"{len(result.found)} files below {settings.home}",
            expected="no file with an id of theirs",
            next_step="Delete or replace these files, then run the same command with `--dry-run` to see that "
            "nothing is left in the raw data; ingestion keeps the students out.",
            state="They are gone from the raw data, the tables and whatever was made from them.",
        )
    return ForgetReport(len(chosen), raw, tuple(scrubbed), result, models)


def _refuse_deliveries(settings: Settings, sources: set[str]) -> None:
    """Refuse sources that files were added to: the keys of their files would hold what is to be forgotten."""
    from edpipe.raw import landed

    found = [
        f"{manifest.source} {manifest.relation}"
        for manifest in landed(settings.raw_dir)
        if manifest.source in sources and manifest.deliveries
    ]
    if found:
        raise SettingsError(
            "Students of a source that files were added to cannot be forgotten as it is.",
            where=", ".join(found),
            found="deliveries, by `edpipe ingest --add`",
            expected="a relation that one command read",
            next_step="Name all files of the source in one `edpipe ingest` without `--add`, then forget.",
            state=STATE_OF_NOTHING,
        )


def _remove(settings: Settings, journal: Path, chosen: list[Student]) -> list[Scrubbed]:
    """Take them out, from what comes first to what follows from it."""
    from edpipe import warehouse
    from edpipe.privacy.needles import Needles
    from edpipe.privacy.scrub import scrub
    from edpipe.sources.forget import forget_raw, item_ids_among
    from edpipe.warehouse.lock import writer_lock

    with writer_lock(settings, "forget"):
        replace_private(journal, json.dumps([list(one) for one in chosen]))
        forgotten = remember_to_forget(settings.home, chosen)
        forget_raw(settings, forgotten, {one.source for one in chosen})
        needles = Needles.of(chosen, item_ids_among(settings, chosen))
        scrubbed = scrub(settings, chosen, needles)
        is_built = settings.warehouse_path.exists() or settings.published_path.exists()
        # Free pages and old snapshots of the file would keep them: it is made anew from the raw layer.
        for path in (settings.warehouse_path, Path(f"{settings.warehouse_path}.wal")):
            path.unlink(missing_ok=True)
    if is_built:
        warehouse.build(settings)
    return scrubbed


def _prove(settings: Settings, journal: Path, chosen: list[Student]) -> SearchResult:
    from edpipe.privacy.needles import Needles
    from edpipe.privacy.search import search
    from edpipe.sources.forget import item_ids_among

    needles = Needles.of(chosen, item_ids_among(settings, chosen))
    found = search(settings.home, needles, skip={journal})
    journal.unlink(missing_ok=True)
    return found


def _resolved(settings: Settings, asked: Sequence[str], unfinished: Sequence[Student]) -> list[Student]:
    from edpipe.forgotten import read_forgotten
    from edpipe.raw import landed
    from edpipe.sources.forget import students_named

    waiting = {one.student_id for one in unfinished} | {one.bare for one in unfinished}
    named = students_named(settings, [one for one in asked if one not in waiting])
    forgotten = read_forgotten(settings.home)
    sources = {one.source for one in landed(settings.raw_dir)}
    gone = {one for one in named if forgotten and any(forgotten.names(source, one) for source in sources)}
    unknown = [one for one, found in named.items() if not found and one not in gone]
    if unknown:
        raise SettingsError(
            f"{len(unknown)} of {len(asked)} ids name nobody in the raw data.",
            where="arguments STUDENT, flag `--file`",
            found=", ".join(repr(one) for one in unknown[:5]) + (" …" if len(unknown) > 5 else ""),
            expected='ids as in core.students (`edpipe sql "select student_id from core.students"`)',
            next_step="Correct or leave them out.",
            state=STATE_OF_NOTHING,
        )
    several = {
        one: found for one, found in named.items() if len({(s.source, s.student_id) for s in found}) > 1
    }
    if several:
        one, found = next(iter(several.items()))
        raise SettingsError(
            f"The id {one!r} names several students.",
            where="arguments STUDENT, flag `--file`",
            found=", ".join(f"{student.student_id} of {student.source}" for student in found[:5]),
            expected="the id with its data set",
            next_step=f"Name each that is to be forgotten, such as {found[0].student_id!r}.",
            state=STATE_OF_NOTHING,
        )
    # Searched for again: a second call proves again that they are gone.
    again = [Student(source, one) for one in gone for source in sources if forgotten.names(source, one)]
    return [student for found in named.values() for student in found] + again


def _read_journal(path: Path) -> list[Student]:
    if not path.exists():
        return []
    return [Student(*one) for one in json.loads(path.read_text(encoding="utf-8"))]


def _trained_on(settings: Settings, sources: set[str]) -> Iterable[TrainedOnThem]:
    from edpipe.families.runs import finished_runs
    from edpipe.training.run import read_run

    registered: dict[str, list[tuple[str, str]]] = {}
    for folder in finished_runs(settings):
        run = read_run(folder)
        if run.source and run.source not in sources:
            continue
        if run.model not in registered:
            registered[run.model] = _versions(settings, run.model)
        numbers = tuple(number for key, number in registered[run.model] if key == run.run_key)
        yield TrainedOnThem(
            run.model, run.run_key, numbers, f"edpipe train {run.model}, evaluate, promote, score"
        )


def _versions(settings: Settings, model: str) -> list[tuple[str, str]]:
    from edpipe.learning import versions

    if not settings.tracking_uri and not (settings.home / "mlflow.db").exists():
        return []
    return [
        (one.run_key, f"{one.version}{' (' + ', '.join(one.aliases) + ')' if one.aliases else ''}")
        for one in versions(model, settings)
    ]
