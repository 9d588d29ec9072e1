from __future__ import annotations

import json
from datetime import UTC, datetime

import polars as pl
import pytest

import edpipe
from edpipe.errors import SettingsError, SourceError
from edpipe.raw import read_manifest, relation_dir
from edpipe.sources.clicks import ingest_clicks

RATINGS = "userId,movieId,rating,timestamp\n1,31,2.5,1260759144\n1,1029,3.0,1260759179\n2,31,4.0,835355493\n"
FILMS = (
    'movieId,title,genres\n31,"Dangerous, Minds (1995)",Drama\n'
    "1029,Dumbo,Animation|Children\n7,X,(no genres listed)\n"
)


def rows(settings, relation="behaviors", *, rejects=False):
    manifest = read_manifest(settings.raw_dir, "clicks", relation)
    folder = relation_dir(settings.raw_dir, "clicks", relation)
    names = [shard.rejects_file if rejects else shard.file for shard in manifest.shards]
    return pl.concat([pl.read_parquet(folder / name) for name in names if name])


def write(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def test_ratings_and_films_stand_behind_the_name_of_their_folder(settings, tmp_path):
    folder = write(tmp_path / "ml", ratings__csv=RATINGS, movies__csv=FILMS, tags__csv="userId,tag\n1,x\n")
    report = ingest_clicks([folder], settings, layout="movielens")
    assert [(one.relation, one.rows) for one in report.relations] == [("items", 3), ("behaviors", 3)]
    found = rows(settings)
    assert found["student_id"].to_list() == ["ml:1", "ml:1", "ml:2"]
    assert found["item_id"].to_list() == ["ml:31", "ml:1029", "ml:31"]
    assert found["outcome"].to_list() == ["2.5", "3.0", "4.0"]
    assert found["milliseconds"].to_list() == [1_260_759_144_000, 1_260_759_179_000, 835_355_493_000]
    assert found["source_row"].to_list() == [1, 2, 3]
    assert found["category_ids"].null_count() == 3
    films = rows(settings, "items")
    assert films["title"].to_list() == ["Dangerous, Minds (1995)", "Dumbo", "X"]
    assert films["category_ids"].to_list() == [["ml:Drama"], ["ml:Animation", "ml:Children"], []]
    assert any("tags.csv: left out" in note for note in report.relations[1].notes)


@pytest.mark.parametrize(("name", "between"), [("ratings.dat", "::"), ("u.data", "\t"), ("ratings.csv", ",")])
def test_all_releases_of_ratings_give_the_same_rows(settings, tmp_path, name, between):
    lines = [line.replace(",", between) for line in RATINGS.splitlines()[1:]]
    header = [RATINGS.splitlines()[0]] if name.endswith("csv") else []
    write(tmp_path / "ml", **{name.replace(".", "__"): "\n".join([*header, *lines])})
    ingest_clicks([tmp_path / "ml" / name], settings, layout="movielens")
    found = rows(settings)
    assert found["student_id"].to_list() == ["ml:1", "ml:1", "ml:2"]
    assert found["milliseconds"].to_list() == [1_260_759_144_000, 1_260_759_179_000, 835_355_493_000]


def test_films_of_older_releases_have_their_genres(settings, tmp_path):
    flags = ["0"] * 19
    flags[1], flags[18] = "1", "1"
    item = "|".join(["31", "Minds (1995)", "01-Jan-1995", "", "http://x", *flags])
    write(tmp_path / "a", u__data="1\t31\t3\t5\n", u__item=item.encode() + b"\n")
    ingest_clicks([tmp_path / "a"], settings, layout="movielens")
    assert rows(settings, "items")["category_ids"].to_list() == [["a:Action", "a:Western"]]
    write(
        tmp_path / "b",
        ratings__dat="1::31::3::5\n",
        movies__dat="31::\xc9t\xe9::Drama|War\n".encode("latin-1"),
    )
    ingest_clicks([tmp_path / "b"], settings, layout="movielens")
    assert rows(settings, "items").select("title", "category_ids").row(0) == ("Été", ["b:Drama", "b:War"])


def test_clicks_of_a_shop_keep_kind_and_category(settings, tmp_path):
    text = "1,2268318,2520377,pv,1511544070\n1,2333346,2520771,buy,1511561733\n"
    write(tmp_path, UserBehavior__csv=text)
    ingest_clicks([tmp_path / "UserBehavior.csv"], settings, layout="taobao")
    found = rows(settings)
    assert found["category_ids"].to_list() == [["UserBehavior:2520377"], ["UserBehavior:2520771"]]
    assert found["outcome"].to_list() == ["pv", "buy"]


def test_sequences_have_an_order_and_no_time(settings, tmp_path):
    attributes = json.dumps({"4": [1, 2], "9": []})
    folder = write(
        tmp_path / "beauty",
        Beauty__txt="1 4 5  4\r\n2 9\n",
        a__json=attributes,
        README__txt="About: this data\n",
    )
    ingest_clicks([folder], settings, layout="sequences")
    found = rows(settings)
    assert found.select("source_row", "student_id", "item_id").rows() == [
        (1, "beauty:1", "beauty:4"),
        (2, "beauty:1", "beauty:5"),
        (3, "beauty:1", "beauty:4"),
        (4, "beauty:2", "beauty:9"),
    ]
    assert found["milliseconds"].null_count() == 4
    assert rows(settings, "items")["category_ids"].to_list() == [["beauty:1", "beauty:2"], []]


def test_a_line_without_items_and_a_repeated_student_are_refused_entry_by_entry(settings, tmp_path):
    write(tmp_path, s__txt="1 4 5\n3\n1 6 7\n2 9\n")
    ingest_clicks([tmp_path / "s.txt"], settings, layout="sequences", max_rejects=0.9)
    assert rows(settings)["source_row"].to_list() == [1, 2, 6]
    refused = rows(settings, rejects=True)
    assert refused.select("source_row", "reason").rows() == [
        (3, "no items"),
        (4, "student repeated"),
        (5, "student repeated"),
    ]


TABLE = {
    "uid": ["a", "a", "b"],
    "what": [7, 8, 7],
    "when": [
        datetime(2020, 1, 1, 10, tzinfo=UTC),
        datetime(2020, 1, 1, 11, tzinfo=UTC),
        datetime(2020, 1, 2, tzinfo=UTC),
    ],
    "kind": ["x;y", "", "x|z"],
    "ok": [True, False, True],
}
NAMES = {"student": "uid", "item": "what", "time": "when", "category": "kind", "outcome": "ok"}


@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet"])
def test_named_columns_of_any_table_give_the_same_rows(settings, tmp_path, suffix):
    frame = pl.DataFrame(TABLE)
    path = tmp_path / f"log.{suffix}"
    if suffix == "parquet":
        frame.write_parquet(path)
    else:
        written = frame.with_columns(pl.col("when").dt.strftime("%Y-%m-%d %H:%M:%S"))
        written.write_csv(path, separator="\t" if suffix == "tsv" else ",")
    ingest_clicks([path], settings, layout="columns", columns=NAMES)
    found = rows(settings)
    assert found["student_id"].to_list() == ["log:a", "log:a", "log:b"]
    assert found["item_id"].to_list() == ["log:7", "log:8", "log:7"]
    assert found["milliseconds"].to_list() == [1_577_872_800_000, 1_577_876_400_000, 1_577_923_200_000]
    assert found["category_ids"].to_list() == [["log:x", "log:y"], [], ["log:x", "log:z"]]
    assert found["outcome"].to_list() == ["true", "false", "true"]


def test_a_folder_of_parts_is_one_data_set_in_pieces(settings, tmp_path):
    for part in range(3):
        frame = pl.DataFrame({"student_id": ["a", "b"], "item_id": [part, part]})
        (tmp_path / "parts").mkdir(exist_ok=True)
        frame.write_parquet(tmp_path / "parts" / f"part-{part}.parquet")
    report = ingest_clicks([tmp_path / "parts"], settings, layout="columns")
    assert report.shards_written == 3
    assert set(rows(settings)["student_id"]) == {"parts:a", "parts:b"}
    assert ingest_clicks([tmp_path / "parts"], settings, layout="columns").shards_written == 0


def test_every_row_is_kept_or_refused_with_its_reason(settings, tmp_path):
    bad = "1,,3.0,5\n,31,3.0,5\n1,31,good,5\n1,31,-1,5\n1,31,3.0,\n1,31,3.0,-7\n1,31,3.0,1e9\n1,31,3.0\n\n"
    write(tmp_path / "ml", ratings__csv=RATINGS + bad)
    report = ingest_clicks([tmp_path / "ml"], settings, layout="movielens", max_rejects=0.9)
    assert (report.rows, report.rejected_rows) == (3, 8)
    assert rows(settings, rejects=True).select("source_row", "reason").rows() == [
        (4, "empty student or item"),
        (5, "empty student or item"),
        (6, "bad rating: good"),
        (7, "bad rating: -1"),
        (8, "bad time: "),
        (9, "bad time: -7"),
        (10, "bad time: 1e9"),
        (11, "3 fields instead of 4"),
    ]


def test_too_many_refused_rows_leave_what_was(settings, tmp_path):
    write(tmp_path / "ml", ratings__csv=RATINGS)
    ingest_clicks([tmp_path / "ml"], settings, layout="movielens")
    before = read_manifest(settings.raw_dir, "clicks", "behaviors")
    write(tmp_path / "ml", ratings__csv=RATINGS + "x\n")
    with pytest.raises(SourceError, match="Too many rows"):
        ingest_clicks([tmp_path / "ml"], settings, layout="movielens")
    assert read_manifest(settings.raw_dir, "clicks", "behaviors") == before


def test_a_dry_run_writes_nothing(settings, tmp_path):
    write(tmp_path / "ml", ratings__csv=RATINGS, movies__csv=FILMS)
    report = ingest_clicks([tmp_path / "ml"], settings, layout="movielens", dry_run=True)
    assert report.shards_written == 2
    assert not settings.home.exists()


def test_columns_of_another_name_make_other_shards(settings, tmp_path):
    write(tmp_path, t__csv="a,b,c\n1,2,3\n")
    first = ingest_clicks(
        [tmp_path / "t.csv"], settings, layout="columns", columns={"student": "a", "item": "b"}
    )
    second = ingest_clicks(
        [tmp_path / "t.csv"], settings, layout="columns", columns={"student": "a", "item": "c"}
    )
    assert (first.shards_written, second.shards_written) == (1, 1)
    assert rows(settings)["item_id"].to_list() == ["t:3"]


def test_synthetic_logs_carry_no_licence(settings, tmp_path):
    write(tmp_path, synthetic_t__csv="student_id,item_id\n1,2\n")
    ingest_clicks([tmp_path / "synthetic_t.csv"], settings, layout="columns")
    assert read_manifest(settings.raw_dir, "clicks", "behaviors").licence == "none: synthetic students"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layout": None}, "has to be named"),
        ({"layout": "movielense"}, "Did you mean 'movielens'"),
        ({"layout": "taobao", "columns": {"item": "x"}}, "for the layout `columns` only"),
        ({"layout": "columns", "columns": {"itm": "x"}}, "Did you mean 'item'"),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_read(settings, tmp_path, arguments, message):
    write(tmp_path, t__csv="a,b\n1,2\n")
    with pytest.raises(SettingsError, match=message):
        ingest_clicks([tmp_path / "t.csv"], settings, **arguments)


@pytest.mark.parametrize(
    ("layout", "name", "text", "message"),
    [
        ("movielens", "clicks.csv", RATINGS, "not of the layout movielens"),
        ("movielens", "ratings.csv", "user,item\n1,2\n", "not of the layout movielens"),
        (
            "taobao",
            "u.csv",
            "user,item,category,behavior,timestamp\n1,2,3,pv,5\n",
            "not of the layout taobao",
        ),
        ("sequences", "s.txt", "one two three\n", "not of the layout sequences"),
        ("sequences", "a.json", "{}", "no log of what students took up"),
        ("columns", "t.csv", "student,item_id\n1,2\n", "lacks a column"),
        ("columns", "t.csv", "student_id,item_id,item_id\n1,2,3\n", "has a column twice"),
        ("columns", "t.parquet", "no parquet", "cannot be read"),
    ],
)
def test_files_of_another_layout_are_refused(settings, tmp_path, layout, name, text, message):
    write(tmp_path, **{name.replace(".", "__"): text})
    with pytest.raises(SourceError, match=message):
        ingest_clicks([tmp_path / name], settings, layout=layout)
    assert not settings.raw_dir.exists()


def test_attributes_that_are_no_object_are_refused(settings, tmp_path):
    folder = write(tmp_path / "s", s__txt="1 2\n", a__json="[1]")
    with pytest.raises(SourceError, match="attributes of items cannot be read"):
        ingest_clicks([folder], settings, layout="sequences")


def test_two_files_of_one_name_are_refused(settings, tmp_path):
    folders = [write(tmp_path / name, ratings__csv=RATINGS) for name in ("a", "b")]
    with pytest.raises(SourceError, match="the same name"):
        ingest_clicks(folders, settings, layout="movielens")


def test_layouts_are_for_clicks_alone(settings, tmp_path):
    with pytest.raises(SettingsError, match="source clicks"):
        edpipe.ingest("ednet", [tmp_path], settings, layout="taobao")
