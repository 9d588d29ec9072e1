"""Tell by its header what a tutor log is: step roll-up or transactions, and which column means what."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from typing import Final, Literal

Relation = Literal["steps", "transactions"]

# Our name of a column by the published ones: lower case, one space, none before a bracket, no underscore.
_SHARED: Final = {
    "anon student id": "student_id",
    "problem hierarchy": "problem_hierarchy",
    "problem name": "problem_name",
    "problem view": "problem_view",
    "step name": "step_name",
    "row": "published_row",
    "#": "published_row",
    "sample": "sample",
    "sample name": "sample",
    "condition": "condition",
}
_STEPS: Final = {
    **_SHARED,
    "step start time": "step_start_milliseconds",
    "first transaction time": "first_transaction_milliseconds",
    "correct transaction time": "correct_transaction_milliseconds",
    "step end time": "step_end_milliseconds",
    "step duration(sec)": "step_duration_seconds",
    "assistance time(sec)": "step_duration_seconds",
    "correct step duration(sec)": "correct_step_duration_seconds",
    "error step duration(sec)": "error_step_duration_seconds",
    "first attempt": "first_attempt",
    "correct first attempt": "first_attempt",
    "incorrects": "incorrects",
    "hints": "hints",
    "corrects": "corrects",
}
_TRANSACTIONS: Final = {
    **_SHARED,
    "transaction id": "transaction_id",
    "session id": "session_id",
    "time": "milliseconds",
    "time zone": "time_zone",
    "duration(sec)": "duration_seconds",
    "student response type": "student_response_type",
    "tutor response type": "tutor_response_type",
    "problem start time": "problem_start_milliseconds",
    "attempt at step": "attempt_at_step",
    "outcome": "outcome",
    "selection": "selection",
    "action": "action",
    "input": "input",
    "help level": "help_level",
    "condition name": "condition_name",
    "condition type": "condition_type",
    "cf(is autofilled)": "is_autofilled",
}
_MATHIA_RAW: Final = {
    "ctcontextid": "student_id",
    "problemid": "problem_name",
    "goalnodeid": "step_name",
    "servertime": "milliseconds",
    "attempt": "attempt_at_step",
    "action": "selection",
    "tutoroutcome": "outcome",
    "helplevel": "help_level",
    "input": "input",
    "semanticeventid": "transaction_id",
}
_MATHIA_LEVELS: Final = {"assignmentid": "Assignment", "sectionname": "Section"}
_MATHIA_KC: Final = "skillid"
# A file belongs to one kind of source, or two commands would land its rows twice.
_CHALLENGE: Final = ("kddcup",)
_EXPORTS: Final = ("datashop", "mathia")
MATHIA_MODEL: Final = "MATHia"
_KC: Final = re.compile(r"^(?:kc|kc model|knowledge component) ?\((?P<model>.*)\)$", re.I | re.S)
_OPPORTUNITY: Final = re.compile(r"^opportunity ?\((?P<model>.*)\)$", re.I | re.S)
_LEVEL: Final = re.compile(r"^level ?\((?P<level>.*)\)$", re.I | re.S)
# Estimates by a model fitted to all the rows, the future included: not data.
_DERIVED: Final = re.compile(r"^predicted error rate ?\(", re.I)


@dataclass(frozen=True, slots=True)
class KCColumns:
    """The columns of one KC model; transaction exports repeat the first kind."""

    model: str
    kcs: tuple[int, ...]
    opportunities: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TutorLayout:
    """What a header says.

    Parameters
    ----------
    name
        The layout in words, for notes.
    relation
        Raw relation that its rows belong to.
    sources
        Sources that files of this layout belong to.
    separator
        Tab or comma.
    is_quoted
        True where cells follow the quoting of CSV; otherwise quotes are characters like any other.
    header
        Published column names.
    columns
        Our names with the positions of their columns, several where a name is repeated.
    kc_models
        KC models in the order of the header.
    levels
        Name and position of each curriculum level, outermost first.
    fields
        Name and position of the other columns.
    """

    name: str
    relation: Relation
    sources: tuple[str, ...]
    separator: str
    is_quoted: bool
    header: tuple[str, ...]
    columns: dict[str, tuple[int, ...]]
    kc_models: tuple[KCColumns, ...]
    levels: tuple[tuple[str, int], ...]
    fields: tuple[tuple[str, int], ...]


def detect_layout(line: str) -> TutorLayout | None:
    """Return the layout that a header line tells, or None where it tells none.

    Columns are bound by name, whatever their order and case: DataShop says that both may change.
    """
    line = line.lstrip("\ufeff").rstrip("\r\n")
    separator = "\t" if "\t" in line else ","
    is_quoted = separator == "," or line.lstrip().startswith('"')
    header = next(csv.reader([line], delimiter=separator)) if is_quoted else line.split(separator)
    header = [name.strip() for name in header]
    names = [_normal(name) for name in header]
    if {"ctcontextid", "tutoroutcome"} <= set(names):
        return _mathia_raw(header, names, separator)
    known: dict[str, str]
    if "anon student id" not in names or "problem name" not in names:
        return None
    if "correct first attempt" in names:
        relation, known, kind = "steps", _STEPS, "KDD Cup steps"
    elif "first attempt" in names:
        relation, known, kind = "steps", _STEPS, "student-step roll-up"
    elif {"time", "outcome"} & set(names):
        relation, known, kind = "transactions", _TRANSACTIONS, "transactions"
    else:
        return None
    return _bind(kind, relation, separator, is_quoted, header, names, known)


def _bind(
    kind: str,
    relation: str,
    separator: str,
    is_quoted: bool,
    header: list[str],
    names: list[str],
    known: dict[str, str],
) -> TutorLayout:
    columns: dict[str, list[int]] = {}
    kcs: dict[str, list[int]] = {}
    opportunities: dict[str, list[int]] = {}
    levels: list[tuple[str, int]] = []
    fields: list[tuple[str, int]] = []
    for position, (published, name) in enumerate(zip(header, names, strict=True)):
        spelled = published.replace("KC_Model", "KC Model")
        if name in known:
            columns.setdefault(known[name], []).append(position)
        elif match := _KC.match(spelled):
            kcs.setdefault(match["model"].strip(), []).append(position)
        elif match := _OPPORTUNITY.match(published):
            opportunities.setdefault(match["model"].strip(), []).append(position)
        elif match := _LEVEL.match(published):
            levels.append((match["level"].strip(), position))
        elif not _DERIVED.match(published):
            fields.append((published, position))
    models = tuple(
        KCColumns(model, tuple(places), tuple(opportunities.get(model, ()))) for model, places in kcs.items()
    )
    bound = {name: tuple(places) for name, places in columns.items()}
    form = "comma-separated " if separator == "," else "quoted " if is_quoted else ""
    return TutorLayout(
        name=form + kind,
        relation="steps" if relation == "steps" else "transactions",
        sources=_CHALLENGE if kind == "KDD Cup steps" else _EXPORTS,
        separator=separator,
        is_quoted=is_quoted,
        header=tuple(header),
        columns=bound,
        kc_models=models,
        levels=tuple(levels),
        fields=tuple(fields),
    )


def _mathia_raw(header: list[str], names: list[str], separator: str) -> TutorLayout:
    place = {name: position for position, name in enumerate(names)}
    used = {*_MATHIA_RAW, *_MATHIA_LEVELS, _MATHIA_KC}
    return TutorLayout(
        name="raw MATHia log",
        relation="transactions",
        sources=_EXPORTS,
        separator=separator,
        is_quoted=True,
        header=tuple(header),
        columns={ours: (place[name],) for name, ours in _MATHIA_RAW.items() if name in place},
        kc_models=(KCColumns(MATHIA_MODEL, (place[_MATHIA_KC],), ()),) if _MATHIA_KC in place else (),
        levels=tuple((level, place[name]) for name, level in _MATHIA_LEVELS.items() if name in place),
        fields=tuple((header[place[name]], place[name]) for name in names if name not in used),
    )


def _normal(name: str) -> str:
    """Return a column name without what releases spell differently."""
    words = re.sub(r"[\s_]+", " ", name.strip().lower())
    return words.replace(" (", "(")
