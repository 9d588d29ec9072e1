from __future__ import annotations

import pytest

from edpipe import progress


def test_lines_say_how_much_is_done_and_go_to_stderr(capsys):
    with progress.track("Reading", total=3, unit="rows", mode="log") as work:
        work.note("shard 1")
        work.advance(2)
        work.advance()
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[0] == "Reading: started"
    assert err.splitlines()[-1].startswith("Reading: done: 3 of 3 rows (shard 1)")


def test_work_that_fails_is_not_reported_as_done(capsys):
    with pytest.raises(KeyError), progress.track("Reading", mode="log"):
        raise KeyError
    assert "stopped" in capsys.readouterr().err


def test_none_is_silent(capsys):
    with progress.track("Reading", total=3, mode="none") as work:
        work.advance(3)
    assert capsys.readouterr() == ("", "")


def test_a_log_gets_lines_and_not_a_bar(capsys):
    with progress.track("Reading", total=3, mode="auto") as work:
        work.advance(3)
    assert "\x1b" not in capsys.readouterr().err


def test_a_bar_is_drawn_on_stderr(capsys):
    with progress.track("Reading", total=2, unit="rows", mode="bar") as work:
        work.advance(2)
        work.note("end")
    out, err = capsys.readouterr()
    assert out == ""
    assert "Reading" in err
