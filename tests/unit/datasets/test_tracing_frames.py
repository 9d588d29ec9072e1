from __future__ import annotations

import polars as pl
import tracing_data

from edpipe.datasets.tracing_frames import examples, item_kcs


def test_examples_are_the_rows_that_were_written(tmp_path):
    written = tracing_data.answers().select(
        "student_key", "split", "interaction_number", "item_key", "is_correct"
    )
    read = examples(tracing_data.dataset(tmp_path))
    assert read.cast(dict(written.schema)).equals(written)
    assert read.filter(pl.col("split") == "valid").height == written.filter(split="valid").height > 0


def test_pairs_are_those_of_the_catalog(tmp_path):
    expected = tracing_data.catalog().items.explode("kc_keys").select("item_key", kc_key="kc_keys")
    pairs = item_kcs(tracing_data.dataset(tmp_path))
    assert sorted(pairs.rows()) == sorted(expected.rows())
