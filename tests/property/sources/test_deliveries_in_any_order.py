"""What a relation holds depends on the files that were added, not on how they came."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from deliveries import PLATFORMS, STUDENTS, Delivery, Platform, Row, union_of
from hypothesis import given
from hypothesis import settings as options
from hypothesis import strategies as st

from edpipe.settings import Settings, load_settings

rows = st.tuples(st.sampled_from(STUDENTS), st.integers(0, 20), st.integers(1, 6), st.integers(0, 1))
deliveries_of_rows = st.lists(st.lists(rows, min_size=1, max_size=12), min_size=1, max_size=5)


def opened(home: Path) -> Settings:
    return load_settings("smoke", file=home / "none.toml", home=home, progress="none")


@st.composite
def arrivals(draw: st.DrawFn) -> tuple[list[list[Row]], list[list[int]]]:
    """Draw deliveries that overlap and repeat, and an order in which groups of them come, some twice."""
    pieces = draw(deliveries_of_rows)
    # Some hold all of an earlier one, and go on.
    for index in draw(st.lists(st.integers(0, len(pieces) - 1), max_size=2)):
        pieces.append([*pieces[index], *draw(st.lists(rows, max_size=3))])
    order = draw(st.permutations(range(len(pieces))))
    again = draw(st.lists(st.integers(0, len(pieces) - 1), max_size=2))
    order = [*order, *again]
    cuts = sorted(draw(st.sets(st.integers(1, len(order)), max_size=3)) | {0, len(order)})
    return pieces, [list(dict.fromkeys(order[a:b])) for a, b in pairwise(cuts)]


def written(platform: Platform, folder: Path, pieces: list[Delivery]) -> list[Path]:
    folder.mkdir()
    return [platform.write(folder, f"day{number}", piece) for number, piece in enumerate(pieces)]


@pytest.mark.parametrize("platform", PLATFORMS, ids=repr)
@options(max_examples=5, deadline=None)
@given(arrivals())
def test_any_order_of_arrival_gives_what_one_command_gives(
    platform: Platform, drawn: tuple[list[list[Row]], list[list[int]]]
) -> None:
    compare_with_one_command(platform, *drawn)


@pytest.mark.slow
@pytest.mark.parametrize("platform", PLATFORMS, ids=repr)
@options(max_examples=100, deadline=None)
@given(arrivals())
def test_a_hundred_orders_of_arrival_give_what_one_command_gives(
    platform: Platform, drawn: tuple[list[list[Row]], list[list[int]]]
) -> None:
    compare_with_one_command(platform, *drawn)


def compare_with_one_command(platform: Platform, pieces: list[list[Row]], runs: list[list[int]]) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        paths = written(platform, folder / "deliveries", pieces)
        piecewise, whole = opened(folder / "piecewise"), opened(folder / "whole")
        for run in runs:
            platform.add(piecewise, [paths[index] for index in run])
        platform.add(whole, paths)
        one, other = platform.manifest(piecewise), platform.manifest(whole)
        assert platform.rows(piecewise).equals(platform.rows(whole))
        assert one.fingerprint == other.fingerprint
        assert [shard.file for shard in one.shards] == [shard.file for shard in other.shards]
        assert one.conflicting_rows == other.conflicting_rows
        assert one.rows == union_of(pieces).total()
        for manifest in (one, other):
            assert manifest.source_rows == manifest.rows + manifest.rejected_rows + manifest.duplicate_rows
            assert all(
                delivery.read_rows == delivery.added_rows + delivery.duplicate_rows + delivery.rejected_rows
                for delivery in manifest.deliveries
            )


@options(max_examples=5, deadline=None)
@given(deliveries_of_rows)
def test_rows_are_the_union_and_stand_by_time(pieces: list[list[Row]]) -> None:
    platform = PLATFORMS[0]
    with TemporaryDirectory() as name:
        settings = opened(Path(name) / "home")
        for path in written(platform, Path(name) / "deliveries", pieces):
            platform.add(settings, [path])
        found = platform.rows(settings)
    seen = Counter(
        (student, second - 1, int(question[1:]), "ab".index(answer))
        for student, second, question, answer in found.select(
            "student_id", "solving_id", "question_id", "user_answer"
        ).rows()
    )
    assert seen == union_of(pieces)
    by_student = found.partition_by("student_id")
    assert all(frame["timestamp"].is_sorted() for frame in by_student)
    assert all(frame["source_row"].to_list() == list(range(1, frame.height + 1)) for frame in by_student)
