"""Files are added by rule: known ones are not read, grown ones go on, and every row is counted."""

from __future__ import annotations

import zipfile

import pytest
from deliveries import KT1_HEADER, PLATFORMS, QUESTIONS, START, write_clicks, write_kt1, write_steps

from edpipe.errors import SettingsError, SourceError
from edpipe.raw import relation_dir
from edpipe.sources import clicks, delivery_landing, ednet_shards
from edpipe.sources.clicks import ingest_clicks

EDNET, CLICKS, STEPS = PLATFORMS
FIRST = [("u1", 1, 1, 0), ("u1", 2, 2, 1), ("u2", 1, 3, 0)]
LATER = [("u1", 3, 3, 1), ("u3", 1, 4, 0)]


def last(platform, settings):
    return platform.manifest(settings).deliveries[-1]


@pytest.mark.parametrize("platform", PLATFORMS, ids=repr)
def test_a_student_in_two_deliveries_is_one(platform, settings, tmp_path):
    platform.add(settings, [platform.write(tmp_path, "day1", FIRST)])
    platform.add(settings, [platform.write(tmp_path, "day2", LATER)])
    found = platform.rows(settings)
    assert found["student_id"].str.extract(r"(u\d)$").value_counts().sort("student_id").rows() == [
        ("u1", 3),
        ("u2", 1),
        ("u3", 1),
    ]
    assert (last(platform, settings).added_rows, last(platform, settings).duplicate_rows) == (2, 0)


@pytest.mark.parametrize("platform", PLATFORMS, ids=repr)
def test_a_longer_file_takes_the_place_of_the_shorter(platform, settings, tmp_path):
    platform.add(settings, [platform.write(tmp_path, "day1", FIRST)])
    platform.add(settings, [platform.write(tmp_path, "day2", [*FIRST, *LATER])])
    assert platform.rows(settings).height == 5
    delivery = last(platform, settings)
    # Of EdNet the file of u2 did not grow: it is not even read.
    assert delivery.duplicate_rows == (2 if platform is EDNET else 3)
    assert (delivery.added_rows, delivery.late_rows, delivery.rejected_rows) == (2, 0, 0)


@pytest.mark.parametrize("platform", PLATFORMS, ids=repr)
def test_nothing_new_writes_nothing(platform, settings, tmp_path):
    path = platform.write(tmp_path, "day1", FIRST)
    platform.add(settings, [path])
    before = platform.manifest(settings)
    report = platform.add(settings, [path])
    assert platform.manifest(settings) == before
    result = report.relations[-1]
    assert (result.shards_written, result.read_rows, result.written_rows, result.delivery) == (0, 0, 0, None)


@pytest.mark.parametrize("platform", PLATFORMS, ids=repr)
def test_late_rows_are_counted(platform, settings, tmp_path):
    platform.add(settings, [platform.write(tmp_path, "day1", [("u1", 5, 1, 0), ("u2", 5, 2, 0)])])
    late = [("u1", 3, 2, 1), ("u1", 9, 3, 1), ("u2", 6, 1, 0), ("u3", 1, 1, 0)]
    platform.add(settings, [platform.write(tmp_path, "day2", late)])
    assert last(platform, settings).late_rows == 1
    assert platform.manifest(settings).late_rows == 1


def test_late_rows_of_ednet_go_where_they_belong(settings, tmp_path):
    EDNET.add(settings, [EDNET.write(tmp_path, "day1", [("u1", 1, 1, 0), ("u1", 5, 2, 0)])])
    EDNET.add(settings, [EDNET.write(tmp_path, "day2", [("u1", 3, 3, 0)])])
    assert EDNET.rows(settings).select("source_row", "question_id").rows() == [
        (1, "q1"),
        (2, "q3"),
        (3, "q2"),
    ]


@pytest.mark.parametrize("platform", PLATFORMS, ids=repr)
def test_rows_in_conflict_stay_both_and_are_counted(platform, settings, tmp_path):
    platform.add(settings, [platform.write(tmp_path, "day1", [("u1", 1, 1, 0)])])
    platform.add(settings, [platform.write(tmp_path, "day2", [("u1", 1, 1, 1)])])
    assert platform.rows(settings).height == 2
    assert platform.manifest(settings).conflicting_rows == 1


@pytest.mark.parametrize("platform", PLATFORMS, ids=repr)
def test_rows_written_twice_in_one_file_stay_two(platform, settings, tmp_path):
    twice = [("u1", 1, 1, 0), ("u1", 1, 1, 0)]
    platform.add(settings, [platform.write(tmp_path, "day1", twice)])
    platform.add(settings, [platform.write(tmp_path, "day2", twice[:1] + LATER)])
    assert platform.rows(settings).height == 4


@pytest.mark.parametrize("platform", PLATFORMS, ids=repr)
def test_buckets_of_other_students_stay_the_same_files(platform, settings, tmp_path):
    many = [(f"u{i}", 1, 1, 0) for i in range(1, 40)]
    platform.add(settings, [platform.write(tmp_path, "day1", many)])
    before = {shard.bucket: shard.file for shard in platform.manifest(settings).shards}
    platform.add(settings, [platform.write(tmp_path, "day2", [("u7", 2, 1, 0)])])
    after = {shard.bucket: shard.file for shard in platform.manifest(settings).shards}
    changed = [bucket for bucket in after if before[bucket] != after[bucket]]
    assert changed == last(platform, settings).buckets
    assert len(changed) == 1


def test_unchanged_members_are_not_parsed_again(settings, tmp_path, monkeypatch):
    parsed: list[str] = []

    def counting(batch, *rest):
        parsed.extend(member.name for member in batch)
        return ednet_shards_parse(batch, *rest)

    ednet_shards_parse = ednet_shards.parse_members
    EDNET.add(settings, [write_kt1(tmp_path, "day1", [*FIRST, *LATER])])
    monkeypatch.setattr(ednet_shards, "parse_members", counting)
    EDNET.add(settings, [write_kt1(tmp_path, "day2", [*FIRST, *LATER, ("u2", 9, 1, 0)])])
    assert [name for name in parsed if name.startswith("KT1")] == ["KT1/u2.csv"]


@pytest.mark.parametrize("platform", [CLICKS, STEPS], ids=repr)
def test_known_files_are_not_opened(platform, settings, tmp_path, monkeypatch):
    from edpipe.sources import delivery_files

    folder = tmp_path / "deliveries"
    folder.mkdir()
    platform.write(folder, "day1", FIRST)
    platform.add(settings, [folder])
    platform.write(folder, "day2", LATER)
    hashed = []
    describe = delivery_files.describe_input
    monkeypatch.setattr(
        delivery_files, "describe_input", lambda path: hashed.append(path.name) or describe(path)
    )
    result = platform.add(settings, [folder]).relations[-1]
    assert [name.partition(".")[0] for name in hashed] == ["day2"]
    assert (result.read_rows, result.written_rows) == (2, 2)


@pytest.mark.parametrize("platform", [CLICKS, STEPS], ids=repr)
@pytest.mark.parametrize("is_older_first", [True, False])
def test_a_file_of_a_known_name_may_have_grown(platform, is_older_first, settings, tmp_path):
    # The row that came late stands in the middle of the longer file, so its numbers are others.
    forms = [FIRST, [FIRST[0], LATER[0], *FIRST[1:]]]
    for form in forms if is_older_first else reversed(forms):
        platform.add(settings, [platform.write(tmp_path, "day1", form)])
    found = platform.rows(settings)
    assert found["source_row"].to_list() == [1, 2, 3, 4]
    assert found["student_id"].str.slice(-2).to_list() == ["u1", "u1", "u1", "u2"]
    assert platform.manifest(settings).duplicate_rows == 3


@pytest.mark.parametrize("platform", [CLICKS, STEPS], ids=repr)
def test_a_file_of_a_known_name_may_not_lose_rows(platform, settings, tmp_path):
    platform.add(settings, [platform.write(tmp_path, "day1", FIRST)])
    before = platform.manifest(settings)
    with pytest.raises(SourceError, match="lacks rows that it had"):
        platform.add(settings, [platform.write(tmp_path, "day1", [*FIRST[1:], *LATER])])
    assert platform.manifest(settings) == before


@pytest.mark.parametrize("platform", PLATFORMS, ids=repr)
def test_what_was_read_as_a_whole_is_taken_over(platform, settings, tmp_path):
    paths = [platform.write(tmp_path, "day1", FIRST), platform.write(tmp_path, "day2", LATER)]
    other = settings.model_copy(update={"home": tmp_path / "other"})
    platform.add(settings, paths[:1], add=False)
    result = platform.add(settings, paths).relations[-1]
    platform.add(other, paths)
    assert platform.rows(settings).equals(platform.rows(other))
    assert platform.manifest(settings).fingerprint == platform.manifest(other).fingerprint
    assert result.delivery.num_files == (2 if platform is EDNET else 1)
    assert result.delivery.duplicate_rows == 0


def test_rejects_are_counted_beside_duplicates(settings, tmp_path):
    for name, more in (("day1", ""), ("day2", f"{START + 9000},9,q1,a,1000\n")):
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w") as archive:
            archive.writestr("questions.csv", QUESTIONS)
            text = KT1_HEADER + f"{START},1,q1,a,1000\nnonsense\n" + more
            archive.writestr("KT1/u1.csv", text)
        EDNET.add(settings, [tmp_path / f"{name}.zip"], max_rejects=0.9)
    manifest = EDNET.manifest(settings)
    counts = (manifest.source_rows, manifest.rows, manifest.rejected_rows, manifest.duplicate_rows)
    assert counts == (5, 2, 2, 1)


def test_files_with_unknown_questions_are_read_again_when_they_become_known(settings, tmp_path):
    (tmp_path / "questions.csv").write_text("\n".join(QUESTIONS.splitlines()[:3]) + "\n")
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "questions.csv").write_text(QUESTIONS)
    path = tmp_path / "kt1"
    path.mkdir()
    (path / "u1.csv").write_text(KT1_HEADER + f"{START},1,q1,a,1000\n{START + 1},2,q5,a,1000\n")
    EDNET.add(settings, [path, tmp_path / "questions.csv"], max_rejects=0.9)
    assert EDNET.rows(settings).height == 1
    EDNET.add(settings, [path, tmp_path / "more"], max_rejects=0.9)
    assert EDNET.rows(settings).height == 2
    assert EDNET.add(settings, [path]).relations[-1].delivery is None


def test_too_many_rejects_of_a_delivery_leave_the_earlier_state(settings, tmp_path):
    EDNET.add(settings, [write_kt1(tmp_path, "day1", [("u1", s, 1, 0) for s in range(500)])])
    before = EDNET.manifest(settings)
    (tmp_path / "u2.csv").write_text(KT1_HEADER + "poison\npoison\n")
    with pytest.raises(SourceError, match="Too many rows"):
        EDNET.add(settings, [tmp_path / "u2.csv"])
    assert EDNET.manifest(settings) == before


def test_another_selection_is_refused(settings, tmp_path):
    path = write_kt1(tmp_path, "day1", [(f"u{i}", 1, 1, 0) for i in range(1, 40)])
    EDNET.add(settings, [path], fraction=0.5)
    assert 0 < EDNET.manifest(settings).excluded_members < 39
    with pytest.raises(SourceError, match="another selection"):
        EDNET.add(settings, [path])


def test_logs_without_times_are_refused(settings, tmp_path):
    path = write_clicks(tmp_path, "day1", FIRST)
    with pytest.raises(SettingsError, match="without times"):
        ingest_clicks([path], settings, layout="columns", add=True)


def test_the_data_set_is_that_of_the_folder(settings, tmp_path):
    folder = tmp_path / "algebra"
    folder.mkdir()
    for number, rows in enumerate((FIRST, LATER)):
        STEPS.add(settings, [write_steps(folder, f"day{number}", rows)], dataset=None)
    assert STEPS.rows(settings)["dataset"].unique().to_list() == ["algebra"]


def test_a_dry_run_writes_nothing(settings, tmp_path):
    report = CLICKS.add(settings, [write_clicks(tmp_path, "day1", FIRST)], dry_run=True)
    assert CLICKS.manifest(settings) is None
    assert "1 new files would be read" in report.relations[-1].notes[-1]


@pytest.mark.parametrize("platform", PLATFORMS, ids=repr)
@pytest.mark.parametrize("step", ["write_content", "write_manifest", "delete_unlisted"])
def test_a_killed_run_leaves_the_old_or_the_new_state_and_goes_on(
    platform, step, settings, tmp_path, monkeypatch
):
    first, later = platform.write(tmp_path, "day1", FIRST), platform.write(tmp_path, "day2", LATER)
    platform.add(settings, [first])
    before = platform.rows(settings)

    def killed(*_arguments, **_named):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(delivery_landing, step, killed)
        with pytest.raises(KeyboardInterrupt):
            platform.add(settings, [later])
    assert platform.rows(settings).height == (before.height + 2 * (step == "delete_unlisted"))
    platform.add(settings, [later])
    other = settings.model_copy(update={"home": tmp_path / "other"})
    platform.add(other, [later, first])
    assert platform.rows(settings).equals(platform.rows(other))
    assert platform.manifest(settings).source_rows == 5


def test_a_relation_that_lacks_a_shard_is_not_added_to(settings, tmp_path):
    CLICKS.add(settings, [CLICKS.write(tmp_path, "day1", FIRST)])
    folder = relation_dir(settings.raw_dir, "clicks", "behaviors")
    (folder / CLICKS.manifest(settings).shards[0].file).unlink()
    with pytest.raises(SourceError, match="a part is missing"):
        CLICKS.add(settings, [CLICKS.write(tmp_path, "day2", LATER)])


def test_a_manifest_that_cannot_be_read_is_not_replaced(settings, tmp_path):
    CLICKS.add(settings, [CLICKS.write(tmp_path, "day1", FIRST)])
    torn = relation_dir(settings.raw_dir, "clicks", "behaviors") / "manifest.json"
    torn.write_text(torn.read_text()[:50])
    with pytest.raises(SourceError, match="manifest cannot be read"):
        CLICKS.add(settings, [CLICKS.write(tmp_path, "day2", LATER)])


def test_what_another_process_wrote_meanwhile_is_not_lost(settings, tmp_path, monkeypatch):
    CLICKS.add(settings, [CLICKS.write(tmp_path, "day1", FIRST)])
    paths = [CLICKS.write(tmp_path, "day2", LATER), CLICKS.write(tmp_path, "day3", [("u4", 1, 1, 1)])]
    land = clicks.land_deliveries

    def overtaken(*arguments, **named):
        monkeypatch.setattr(clicks, "land_deliveries", land)
        CLICKS.add(settings, paths[:1])
        return land(*arguments, **named)

    monkeypatch.setattr(clicks, "land_deliveries", overtaken)
    with pytest.raises(SourceError, match="Another process wrote"):
        CLICKS.add(settings, paths[1:])
    CLICKS.add(settings, paths)
    assert CLICKS.rows(settings).height == 6
