"""What a step read and made, as its line in ``ops.runs`` says."""

from __future__ import annotations

import polars as pl

from edpipe import accounts
from edpipe.families.tables import MadeFrom, replace_table
from edpipe.families.tsdiff import TSDiffFamily


def test_scores_are_up_to_date_only_if_no_table_was_written(settings):
    tables, made_from = TSDiffFamily().tables, MadeFrom("tsdiff", 1, "digest")

    def write():
        return replace_table(settings, "activity_forecasts", pl.DataFrame({"mean": [1.0, 2.0]}), made_from)

    before = accounts.stamps(settings, tables)
    path = write()
    first = accounts.of_scores([path], "models:/tsdiff/1", before)
    assert (first.rows_out, first.is_up_to_date) == (2, False)
    before = accounts.stamps(settings, tables)
    assert accounts.of_scores([path], "models:/tsdiff/1", before).is_up_to_date
    write()
    assert not accounts.of_scores([path], "models:/tsdiff/1", before).is_up_to_date
