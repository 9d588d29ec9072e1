"""All four champions, loaded and served where no checkout can be imported, give the published predictions."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pandas as pd
import polars as pl
import pytest
from integration.test_pipeline import EDPIPE, STUDENTS, demo, settings_of
from served_tables import ASKED, Asked

from edpipe.settings import Settings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]

# Python runs this file before anything else, in each process of its own: packages of the checkout are
# found where a logged model keeps its code, and nowhere else.
SITE = """
import sys
from importlib.machinery import PathFinder
from pathlib import Path

class OnlyLogged:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name not in {"edpipe", "models", "flows"}:
            return None
        spec = PathFinder.find_spec(name, [one for one in sys.path if Path(one).name == "code"])
        if spec is None:
            raise ModuleNotFoundError(f"No module named {name!r}: the checkout is out of reach.", name=name)
        return spec

sys.meta_path.insert(0, OnlyLogged)
"""
LOAD = """
import importlib.util, json, sys
import mlflow, pandas as pd

for root in ("edpipe", "models", "flows"):
    try:
        importlib.util.find_spec(root)
    except ModuleNotFoundError:
        continue
    raise SystemExit(f"{root} can be imported")
uri, name, rows, answers = sys.argv[1:]
mlflow.set_tracking_uri(uri)
model = mlflow.pyfunc.load_model(f"models:/{name}@champion")
signature = model.metadata.signature
example = model.predict(model.input_example)
assert list(example.columns) == signature.outputs.input_names(), list(example.columns)
found = model.predict(pd.read_parquet(rows))
assert isinstance(found, pd.DataFrame)
assert list(found.columns) == signature.outputs.input_names(), list(found.columns)
found.to_parquet(answers)
import models
print(json.dumps(models.__file__))
"""
UP_SECONDS = 300


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    home = tmp_path_factory.mktemp("served") / "data"
    demo(home)
    assert EDPIPE.exists()
    assert int(STUDENTS) > 5
    return settings_of(home)


@pytest.fixture(scope="module")
def asked(settings: Settings) -> dict[str, Asked]:
    return {name: make(settings) for name, make in ASKED.items()}


@pytest.fixture
def elsewhere(settings: Settings, tmp_path: Path) -> dict[str, str]:
    """Environment of a process that cannot import the checkout."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(SITE)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("EDPIPE_", "PYTHON"))}
    binaries = str(Path(sys.executable).parent)
    return kept | {
        "PYTHONPATH": str(tmp_path / "site"),
        "PATH": f"{binaries}{os.pathsep}{kept.get('PATH', '')}",
        "MLFLOW_TRACKING_URI": settings.mlflow_uri,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "1",
    }


@pytest.mark.parametrize("name", ASKED)
def test_the_champion_is_loaded_without_the_checkout_and_gives_the_published_predictions(
    name, settings, asked, elsewhere, tmp_path
):
    asked[name].rows.write_parquet(tmp_path / "rows.parquet")
    answers = tmp_path / "answers.parquet"
    words = [settings.mlflow_uri, name, str(tmp_path / "rows.parquet"), str(answers)]
    done = subprocess.run(
        [sys.executable, "-c", LOAD, *words],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=elsewhere,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    where = json.loads(done.stdout.splitlines()[-1])
    assert "/code/models/" in where
    asked[name].assert_same(pl.read_parquet(answers))


@pytest.mark.parametrize("name", ASKED)
def test_the_champion_is_served_and_answers_as_batch_scoring_did(name, asked, elsewhere, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        str(Path(sys.executable).with_name("mlflow")),
        *("models", "serve", "--model-uri", f"models:/{name}@champion", "--env-manager", "local"),
        *("--host", "127.0.0.1", "--port", str(port)),
    ]
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(
            command, cwd=tmp_path, env=elsewhere, stdout=log, stderr=log, start_new_session=True
        )
    try:
        _wait(f"http://127.0.0.1:{port}/ping", server, tmp_path / "log")
        frame = pd.DataFrame(asked[name].rows.to_dict(as_series=False))
        body = f'{{"dataframe_split": {frame.to_json(orient="split", index=False, date_format="iso")}}}'
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/invocations", body.encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=600) as response:
            found = json.load(response, parse_constant=_no_json)["predictions"]
        answers = pl.DataFrame(found, infer_schema_length=None)
        asked[name].assert_same(answers)
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(60)


def _no_json(word: str) -> None:
    """Refuse what Python reads and no other reader of JSON has to: NaN and the infinities."""
    raise AssertionError(f"{word} is no JSON.")


def _wait(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until the server answers."""
    end = time.monotonic() + UP_SECONDS
    while time.monotonic() < end:
        assert server.poll() is None, log.read_text()[-3000:]
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    raise AssertionError(log.read_text()[-3000:])
