"""Find out which files belong to which part of EdNet, however they were downloaded or unpacked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edpipe.errors import SourceError
from edpipe.setting_groups import IngestSettings
from edpipe.sources.archive import Members, list_members, read_texts
from edpipe.sources.ednet_formats import CONTENTS, DOWNLOADS, FORMATS, LEVELS
from edpipe.sources.ednet_lines import clean_text, split_header
from edpipe.sources.ednet_rows import student_of

_CONTENTS_FILE = re.compile(r"(?:^|/)(" + "|".join(CONTENTS) + r")\.csv$", re.IGNORECASE)
_LEVEL_NAME = re.compile(r"(?:^|[^a-z0-9])(kt[1-4])(?:$|[^a-z0-9])", re.IGNORECASE)
# A folder may begin with damaged files; its level is read from the first that has a known header.
_FILES_LOOKED_AT = 20


@dataclass(slots=True)
class Layout:
    """Members of each relation, and what was passed over."""

    members: dict[str, list[Members]] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)
    releases: dict[str, str] = field(default_factory=dict)


def find_layout(paths: Sequence[Path], limits: IngestSettings, *, is_added: bool = False) -> Layout:
    """Detect levels and layout; every archive is checked before this returns.

    Parameters
    ----------
    paths
        Archives, folders or files.
    limits
        What an archive may hold.
    is_added
        True for deliveries, in which a student may stand several times; of several contents tables the last
        one named, or last by name in a folder, counts.

    Raises
    ------
    SourceError
        If an archive is refused, nothing of EdNet is there, a folder holds another level than its
        name says, or a student or table is there twice.
    """
    layout = Layout()
    for path in paths:
        for members in list_members(path, limits):
            _sort_out(layout, members)
    if not layout.members:
        shown = ", ".join(str(path) for path in paths)
        raise SourceError(
            "There is nothing of EdNet here.",
            where=shown,
            found=", ".join(layout.ignored[:3]) or "no files",
            expected="student files `u<number>.csv` or contents tables, unpacked or in the published zip",
            next_step=f"Get the archives from {DOWNLOADS}.",
            state="Nothing was written.",
        )
    for relation, found in layout.members.items():
        if not is_added:
            _refuse_twice(relation, found)
        elif relation in CONTENTS:
            layout.ignored += [earlier.shown(earlier.names[0]) for earlier in found[:-1]]
            layout.members[relation] = found[-1:]
    return layout


def _sort_out(layout: Layout, members: Members) -> None:
    folders: dict[str, list[int]] = {}
    for index, name in enumerate(members.names):
        folder, slash, file = name.rpartition("/")
        if file[:1] == "u" and file[-4:] == ".csv" and file[1:-4].isdecimal():
            folders.setdefault(folder + slash, []).append(index)
        elif (match := _CONTENTS_FILE.search(name)) and match[1].lower() in FORMATS:
            found = members.take(np.array([index]))
            layout.members.setdefault(match[1].lower(), []).append(found)
        else:
            layout.ignored.append(members.shown(name))
    for folder, indices in folders.items():
        students = members.take(np.array(indices))
        level, release = _level(students, folder)
        layout.members.setdefault(level, []).append(students)
        layout.releases.setdefault(level, release)


def _level(students: Members, folder: str) -> tuple[str, str]:
    """Return level and release of one folder, from its name and the first readable file."""
    name = Path(students.container).stem if students.is_zip else str(Path(students.container).resolve())
    place = f"{name}/{folder}".rstrip("/")
    named = [found.lower() for found in _LEVEL_NAME.findall(place.replace("/", " / "))]
    header, lines = _first_known(students)
    kinds = [level for level in LEVELS if sorted(FORMATS[level].columns) == sorted(header)]
    if named and named[-1] in kinds:
        level = named[-1]
    elif named and kinds and (students.is_zip or _LEVEL_NAME.search(place.rsplit("/", 1)[-1])):
        raise SourceError(
            "A folder holds another level than its name says.",
            where=f"{students.container}: {folder or 'top folder'}",
            found=f"columns {', '.join(header)}: {' or '.join(kinds)}",
            expected=f"columns of {named[-1]}: {', '.join(FORMATS[named[-1]].columns)}",
            next_step="Rename the folder, or name the right one.",
            state="Nothing was written.",
        )
    else:
        level = _level_by_content(kinds, lines)
    return level, _release(level, header, lines, students)


def _first_known(students: Members) -> tuple[list[str], list[str]]:
    headers = []
    for member in read_texts(students.take(slice(0, _FILES_LOOKED_AT))):
        header, body = split_header(member.text)
        columns = header.decode(errors="replace").split(",")
        if any(sorted(columns) == sorted(FORMATS[level].columns) for level in LEVELS):
            return columns, [line.decode(errors="replace") for line in clean_text(body)]
        headers.append(header.decode(errors="replace"))
    raise SourceError(
        "The files do not have the columns of any EdNet level.",
        where=f"{students.container}: {students.names[0]}",
        found=f"header {headers[0][:200]!r}",
        expected=" or ".join(",".join(FORMATS[level].columns) for level in ("kt1", "kt2", "kt4")),
        next_step=f"Use the files as published: {DOWNLOADS}.",
        state="Nothing was written.",
    )


def _level_by_content(kinds: list[str], lines: list[str]) -> str:
    """Tell KT2 from KT3, which have the same columns: only KT3 has explanations, lectures and `quit`."""
    if len(kinds) == 1:
        return kinds[0]
    words = {word for line in lines for word in line.split(",")}
    reading = "quit" in words or any(re.fullmatch(r"[el][0-9]+", word) for word in words)
    return "kt3" if reading else "kt2"


def _release(level: str, header: list[str], lines: list[str], students: Members) -> str:
    """Name the release of KT1: the first one, replaced on 2019-12-24, had fractional elapsed times."""
    if level != "kt1" or not lines:
        return ""
    cells = dict(zip(header, lines[0].split(","), strict=False))
    if "." in cells.get("elapsed_time", ""):
        raise SourceError(
            "This is the first release of KT1, which its publishers replaced on 2019-12-24.",
            where=f"{students.container}: {students.names[0]}, row 1",
            found=f"elapsed_time {cells['elapsed_time']!r}",
            expected="whole milliseconds, as in the release of 2019-12-24",
            next_step=f"Get the current archive from {DOWNLOADS}.",
            state="Nothing was written.",
        )
    return "KT1 2019-12-24" if cells.get("solving_id") == "1" else ""


def _refuse_twice(relation: str, found: list[Members]) -> None:
    seen: set[str] = set()
    for members in found:
        for name in members.names:
            student = student_of(name)
            if student in seen:
                places = [m.shown(n) for m in found for n in m.names if student_of(n) == student]
                raise SourceError(
                    f"`{student}` of {relation} is there twice.",
                    where=" and ".join(places),
                    expected="each student once on a level, and each table once",
                    next_step="Name only one of the archives or folders.",
                    state="Nothing was written.",
                )
            seen.add(student)
