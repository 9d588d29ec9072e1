"""Levels and layouts are detected; what cannot be right is refused."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from edpipe.errors import SourceError
from edpipe.setting_groups import IngestSettings
from edpipe.sources.ednet_layout import find_layout

HEADERS = {
    "kt1": "timestamp,solving_id,question_id,user_answer,elapsed_time\n",
    "kt2": "timestamp,action_type,item_id,source,user_answer,platform\n",
    "kt3": "timestamp,action_type,item_id,source,user_answer,platform\n",
    "kt4": "timestamp,action_type,item_id,cursor_time,source,user_answer,platform\n",
}
ROWS = {
    "kt1": "15,1,q1,a,3000\n",
    "kt2": "15,enter,b1,sprint,,mobile\n",
    "kt3": "15,enter,b1,sprint,,mobile\n16,quit,e1,sprint,,mobile\n",
    "kt4": "15,enter,b1,,sprint,,mobile\n",
}


def write(path: Path, level: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(HEADERS[level] + ROWS[level])
    return path


def levels(*paths: Path) -> dict[str, int]:
    return {
        name: sum(map(len, found)) for name, found in find_layout(paths, IngestSettings()).members.items()
    }


@pytest.mark.parametrize("folder", ["EdNet-KT2/KT2", "KT2", "a/b/kt2/deep"])
def test_level_is_known_from_any_folder_above(tmp_path, folder):
    write(tmp_path / folder / "u1.csv", "kt2")
    assert levels(tmp_path) == {"kt2": 1}


@pytest.mark.parametrize("level", HEADERS)
def test_level_of_a_single_file_is_known_from_its_content(tmp_path, level):
    assert levels(write(tmp_path / "u1.csv", level)) == {level: 1}


def test_level_is_known_from_the_name_of_the_archive(tmp_path):
    path = tmp_path / "EdNet-KT3.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("u1.csv", HEADERS["kt3"] + ROWS["kt2"])
    assert levels(path) == {"kt3": 1}


def test_folder_with_all_levels_and_contents(tmp_path):
    for level in HEADERS:
        write(tmp_path / level.upper() / "u1.csv", level)
        write(tmp_path / level.upper() / "u2.csv", level)
    for table in ("questions", "lectures", "payments", "coupons"):
        (tmp_path / f"{table}.csv").write_text("")
    (tmp_path / "notes.csv").write_text("")
    assert levels(tmp_path) == dict.fromkeys(HEADERS, 2) | dict.fromkeys(
        ("questions", "lectures", "payments", "coupons"), 1
    )


def test_release_of_kt1_is_known_from_its_counter(tmp_path):
    layout = find_layout([write(tmp_path / "u1.csv", "kt1")], IngestSettings())
    assert layout.releases == {"kt1": "KT1 2019-12-24"}


def test_first_release_of_kt1_is_refused(tmp_path):
    path = tmp_path / "u1.csv"
    path.write_text(HEADERS["kt1"] + "15,0,q1,a,3000.0\n")
    with pytest.raises(SourceError, match="first release"):
        levels(path)


def test_folder_that_holds_another_level_than_it_says_is_refused(tmp_path):
    write(tmp_path / "KT1" / "u1.csv", "kt4")
    with pytest.raises(SourceError, match="another level"):
        levels(tmp_path)


def test_student_who_is_there_twice_is_refused(tmp_path):
    write(tmp_path / "KT1" / "u1.csv", "kt1")
    write(tmp_path / "copy" / "KT1" / "u1.csv", "kt1")
    with pytest.raises(SourceError, match="`u1` of kt1 is there twice"):
        levels(tmp_path)


def test_folder_without_ednet_is_refused(tmp_path):
    (tmp_path / "holiday.csv").write_text("a,b\n")
    with pytest.raises(SourceError, match="nothing of EdNet"):
        levels(tmp_path)


def test_unknown_columns_are_shown(tmp_path):
    (tmp_path / "u1.csv").write_text("user,item\n1,2\n")
    with pytest.raises(SourceError, match="user,item"):
        levels(tmp_path)
