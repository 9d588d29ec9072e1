from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edpipe import errors, ingest
from edpipe.cli import command
from edpipe.cli.context import Options, _nested
from edpipe.errors import SettingsError

EDPIPE = Path(sys.executable).with_name("edpipe")


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([EDPIPE, *arguments], capture_output=True, text=True, cwd=cwd, check=False)


@pytest.mark.parametrize("kind", errors.EdpipeError.__subclasses__(), ids=lambda kind: kind.__name__)
def test_an_error_ends_with_its_exit_code_and_without_a_traceback(kind, monkeypatch, capsys):
    def fail() -> None:
        raise kind("It failed.", where="file:3", next_step="Do this.")

    monkeypatch.setattr(command, "app", fail)
    with pytest.raises(SystemExit) as stopped:
        command.main()
    assert stopped.value.code == kind.exit_code
    err = capsys.readouterr().err
    assert "It failed." in err
    assert "Next step: Do this." in err
    assert "Traceback" not in err


def test_exit_codes_are_distinct():
    codes = [kind.exit_code for kind in errors.EdpipeError.__subclasses__()]
    assert sorted(codes) == [2, 3, 4, 5, 6, 7]


def test_an_interrupt_says_that_finished_parts_are_kept(monkeypatch, capsys):
    def stop() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "app", stop)
    with pytest.raises(SystemExit) as stopped:
        command.main()
    assert stopped.value.code == 130
    assert "kept" in capsys.readouterr().err


def test_a_bug_is_shown_with_its_traceback(monkeypatch):
    def bug() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(command, "app", bug)
    with pytest.raises(ZeroDivisionError):
        command.main()


def test_a_set_flag_may_hold_a_list():
    assert _nested(("strategy.curve_budgets=[0.1, 0.5]", "warehouse.kc_models=[Rules")) == {
        "strategy": {"curve_budgets": [0.1, 0.5]},
        "warehouse": {"kc_models": "[Rules"},
    }


def test_set_flags_are_nested():
    assert _nested(("tracing.size=64", "seed=3")) == {"tracing": {"size": "64"}, "seed": "3"}
    assert Options().values == ()


@pytest.mark.parametrize("text", ["tracing.size", "=3", ""])
def test_a_set_flag_without_a_value_is_refused(text):
    with pytest.raises(SettingsError, match="--set"):
        _nested((text,))


def test_a_missing_source_exits_with_3_and_writes_nothing(tmp_path):
    done = run("ingest", "ednet", "nowhere.zip", cwd=tmp_path)
    assert done.returncode == 3
    assert "nowhere.zip" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_source_is_refused_with_the_closest_one(tmp_path):
    (tmp_path / "file").touch()
    done = run("ingest", "edent", "file", cwd=tmp_path)
    assert done.returncode == 2
    assert "'ednet'" in done.stderr


def test_a_wrong_source_and_wrong_paths_are_told_together(settings):
    with pytest.raises(SettingsError) as refused:
        ingest("kddcop", ["nowhere.txt", "nor_there.txt", __file__], settings)
    told = str(refused.value)
    assert "no source 'kddcop', nor are there the files" in told
    assert "Did you mean 'kddcup'" in told
    assert "nowhere.txt, nor_there.txt" in told
    assert __file__ not in told


def test_an_unknown_setting_exits_with_2(tmp_path):
    done = run("--set", "tracing.sise=3", "doctor", "--settings", cwd=tmp_path)
    assert done.returncode == 2
    assert "'size'" in done.stderr


def test_flags_win_and_all_settings_are_listed(tmp_path):
    done = run("--set", "tracing.size=72", "doctor", "--settings", "--format", "csv", cwd=tmp_path)
    assert "tracing.size,72," in done.stdout
    assert done.stderr == ""
