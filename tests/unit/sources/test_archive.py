"""The directory reader against Python's zipfile, dangerous archives, damaged members."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import pytest

from edpipe.errors import SourceError
from edpipe.setting_groups import IngestSettings
from edpipe.sources.archive import BAD_CRC, TRUNCATED, list_members, read_texts
from edpipe.sources.zip_directory import read_directory

TEXT = b"timestamp,solving_id,question_id,user_answer,elapsed_time\n" + b"1500000000000,1,q1,a,3000\n" * 5


def make_zip(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return path


def patch(path: Path, position: int, value: bytes) -> None:
    data = bytearray(path.read_bytes())
    data[position : position + len(value)] = value
    path.write_bytes(data)


def assert_same_as_zipfile(path: Path) -> None:
    ours = read_directory(path)
    with zipfile.ZipFile(path) as archive:
        infos = archive.infolist()
    assert ours.names == [info.filename for info in infos]
    assert ours.offsets.tolist() == [info.header_offset for info in infos]
    assert ours.sizes.tolist() == [info.file_size for info in infos]
    assert ours.compressed.tolist() == [info.compress_size for info in infos]
    assert ours.crcs.tolist() == [info.CRC for info in infos]
    assert ours.methods.tolist() == [info.compress_type for info in infos]


@pytest.mark.parametrize("count", [0, 1, 3, 70_000])
def test_directory_equals_zipfile_also_beyond_65535_members(tmp_path, count):
    members = {f"KT1/u{index}.csv": b"x" * (index % 3) for index in range(count)}
    assert_same_as_zipfile(make_zip(tmp_path / "a.zip", members, zipfile.ZIP_STORED))


def test_directory_with_zip64_sizes_comments_and_a_prefix(tmp_path):
    path = tmp_path / "a.zip"
    path.write_bytes(b"something before the archive")
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = b"a comment"
        with archive.open(zipfile.ZipInfo("KT1/ü.csv"), "w", force_zip64=True) as file:
            file.write(TEXT)
        archive.writestr("KT1/u2.csv", TEXT)
    assert_same_as_zipfile(path)


def test_saturated_sizes_are_read_from_the_zip64_field(tmp_path):
    path = tmp_path / "a.zip"
    info = zipfile.ZipInfo("u1.csv")
    info.extra = struct.pack("<2HQ", 1, 8, 5)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(info, b"12345")
    # Only the size in the directory is marked as too large for 32 bits.
    patch(path, path.read_bytes().index(b"PK\1\2") + 24, b"\xff\xff\xff\xff")
    assert read_directory(path).sizes.tolist() == [5]


def test_members_of_a_zip_are_read_in_order_without_directories_and_hidden_files(tmp_path):
    members = {
        "KT1/": b"",
        "KT1/u2.csv": b"b",
        "__MACOSX/KT1/._u2.csv": b"",
        "KT1/.x.csv": b"",
        "KT1/u1.csv": b"a",
    }
    [found] = list_members(make_zip(tmp_path / "a.zip", members), IngestSettings())
    assert [(text.name, text.text, text.problem) for text in read_texts(found)] == [
        ("KT1/u2.csv", b"b", ""),
        ("KT1/u1.csv", b"a", ""),
    ]


def test_folder_lists_files_at_any_depth_and_the_archives_in_it(tmp_path):
    (tmp_path / "KT1" / "KT1").mkdir(parents=True)
    (tmp_path / "KT1" / "KT1" / "u1.csv").write_bytes(b"a")
    make_zip(tmp_path / "more.zip", {"u2.csv": b"b"})
    files, archive = list_members(tmp_path, IngestSettings())
    assert (files.names, archive.names) == (["KT1/KT1/u1.csv"], ["u2.csv"])
    assert archive.shown("u2.csv") == "more.zip/u2.csv"


@pytest.mark.parametrize("keep", [0, 10, 100, -1, -30])
def test_truncated_archive_is_refused(tmp_path, keep):
    path = make_zip(tmp_path / "a.zip", {f"KT1/u{index}.csv": TEXT for index in range(20)})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(SourceError, match="truncated"):
        list_members(path, IngestSettings())


def test_archive_with_bytes_missing_in_the_middle_is_refused(tmp_path):
    path = make_zip(tmp_path / "a.zip", {f"KT1/u{index}.csv": TEXT for index in range(20)})
    data = path.read_bytes()
    path.write_bytes(data[:200] + data[300:])
    with pytest.raises(SourceError, match="truncated"):
        list_members(path, IngestSettings())


@pytest.mark.parametrize("name", ["/etc/u1.csv", "../u1.csv", "KT1/../../u1.csv", "C:/u1.csv", "..\\u1.csv"])
def test_member_outside_the_archive_is_refused(tmp_path, name):
    path = make_zip(tmp_path / "a.zip", {"KT1/u1.csv": TEXT, name: TEXT})
    with pytest.raises(SourceError, match="outside the archive"):
        list_members(path, IngestSettings())


def test_encrypted_archive_is_refused(tmp_path):
    path = make_zip(tmp_path / "a.zip", {"KT1/u1.csv": TEXT})
    patch(path, path.read_bytes().index(b"PK\1\2") + 8, b"\x01\x00")
    with pytest.raises(SourceError, match="encrypted"):
        list_members(path, IngestSettings())


def test_nested_archive_is_refused(tmp_path):
    path = make_zip(tmp_path / "a.zip", {"KT1.zip": TEXT})
    with pytest.raises(SourceError, match="is an archive itself"):
        list_members(path, IngestSettings())


def test_unknown_compression_is_refused(tmp_path):
    path = make_zip(tmp_path / "a.zip", {"KT1/u1.csv": TEXT}, zipfile.ZIP_LZMA)
    with pytest.raises(SourceError, match="not supported"):
        list_members(path, IngestSettings())


def test_bomb_is_refused_by_its_ratio(tmp_path):
    path = make_zip(tmp_path / "a.zip", {"KT1/u1.csv": b"0" * 2_000_000})
    with pytest.raises(SourceError, match="beyond reason"):
        list_members(path, IngestSettings())


def test_too_large_member_is_refused(tmp_path):
    path = make_zip(tmp_path / "a.zip", {"KT1/u1.csv": bytes(range(256)) * 5_000}, zipfile.ZIP_STORED)
    with pytest.raises(SourceError, match="too large"):
        list_members(path, IngestSettings(max_member_mib=1))


def test_members_that_share_their_data_are_refused(tmp_path):
    path = make_zip(tmp_path / "a.zip", {"u1.csv": TEXT, "u2.csv": TEXT})
    second = path.read_bytes().rindex(b"PK\1\2")
    patch(path, second + 42, struct.pack("<L", 0))
    with pytest.raises(SourceError, match="shares its data"):
        list_members(path, IngestSettings())


def test_member_that_inflates_beyond_its_size_is_cut_and_marked(tmp_path):
    path = make_zip(tmp_path / "a.zip", {"u1.csv": b"0" * 100_000})
    patch(path, path.read_bytes().index(b"PK\1\2") + 24, struct.pack("<L", 1_000))
    [members] = list_members(path, IngestSettings())
    [text] = read_texts(members)
    assert (len(text.text), text.problem) == (1_001, TRUNCATED)


def test_bad_crc_is_marked_and_others_are_read(tmp_path):
    path = make_zip(tmp_path / "a.zip", {"u1.csv": TEXT, "u2.csv": TEXT}, zipfile.ZIP_STORED)
    patch(path, path.read_bytes().index(b"q1"), b"q2")
    [members] = list_members(path, IngestSettings())
    assert [text.problem for text in read_texts(members)] == [BAD_CRC, ""]


def test_broken_deflate_data_is_marked(tmp_path):
    path = make_zip(tmp_path / "a.zip", {"u1.csv": TEXT, "u2.csv": TEXT})
    patch(path, 30 + len("u1.csv"), b"\xff" * 8)
    [members] = list_members(path, IngestSettings())
    assert [text.problem for text in read_texts(members)] == [TRUNCATED, ""]


def test_missing_container_says_so(tmp_path):
    path = make_zip(tmp_path / "a.zip", {"u1.csv": TEXT})
    [members] = list_members(path, IngestSettings())
    path.unlink()
    with pytest.raises(SourceError, match="cannot be read"):
        list(read_texts(members))
