from __future__ import annotations

import pytest

from edpipe.errors import SourceError
from edpipe.raw import Manifest, RawInput, RawShard, landed, read_manifest, relation_dir, write_manifest

MANIFEST = Manifest(
    source="ednet",
    relation="kt1",
    fingerprint="abc",
    inputs=[RawInput(path="KT1.zip", size=10)],
    shards=[RawShard(file="a.parquet", rows=3), RawShard("b.parquet", 4, "r.parquet", 2)],
)


def test_a_manifest_survives_the_disk(tmp_path):
    write_manifest(tmp_path, MANIFEST)
    assert read_manifest(tmp_path, "ednet", "kt1") == MANIFEST
    assert landed(tmp_path) == [MANIFEST]


def test_rows_add_up():
    assert (MANIFEST.rows, MANIFEST.rejected_rows, MANIFEST.source_rows) == (7, 2, 9)


def test_a_relation_that_was_not_ingested_has_no_manifest(tmp_path):
    assert read_manifest(tmp_path, "ednet", "kt1") is None
    assert landed(tmp_path) == []


@pytest.mark.parametrize("text", ["{", "{}", '{"inputs": [], "shards": [], "what": 1}'])
def test_a_damaged_manifest_says_what_to_do(tmp_path, text):
    folder = relation_dir(tmp_path, "ednet", "kt1")
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(text)
    with pytest.raises(SourceError, match="ingest ednet"):
        read_manifest(tmp_path, "ednet", "kt1")


def test_replacing_a_manifest_leaves_no_temporary_file(tmp_path):
    path = write_manifest(tmp_path, MANIFEST)
    write_manifest(tmp_path, MANIFEST)
    assert [file.name for file in path.parent.iterdir()] == ["manifest.json"]
