"""Nothing that is loaded can run code of its own."""

from __future__ import annotations

import ast
import io
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from edpipe.checkpoints import load_checkpoint
from edpipe.errors import TrainingError
from edpipe.prediction.diffumin import load_recommender
from edpipe.prediction.forecast import load_forecaster
from edpipe.prediction.strategy import load_predictor
from edpipe.prediction.tracing import load_tracer

REPOSITORY = Path(__file__).resolve().parents[2]
SOURCES = sorted(
    path for folder in ("edpipe", "models", "flows") for path in (REPOSITORY / folder).rglob("*.py")
)
PICKLES = {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
# The one place that names the error of pickles.
NAMES_AN_ERROR = {"edpipe/checkpoints.py"}
LOADERS = {
    "tracer.pt": load_tracer,
    "strategy.pt": load_predictor,
    "diffumin.pt": load_recommender,
    "tsdiff.pt": load_forecaster,
}


def calls(path: Path) -> list[tuple[str, dict[str, ast.expr]]]:
    """Return the dotted names that a file calls, with their keyword arguments."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [
        (ast.unparse(node.func), {word.arg or "": word.value for word in node.keywords}) for node in found
    ]


def offences(path: Path) -> list[str]:
    """Return what in a file could run code that was loaded."""
    name = path.relative_to(REPOSITORY).as_posix()
    if not any(
        word in path.read_text(encoding="utf-8") for word in (*PICKLES, "load", "eval(", "exec(", "serialize")
    ):
        return []
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = {
        one.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for one in (
            [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
        )
    }
    found = [] if name in NAMES_AN_ERROR else [f"imports {one}" for one in sorted(imported & PICKLES)]
    for called, words in calls(path):
        shown = {word: ast.unparse(value) for word, value in words.items()}
        is_bad = (
            called in ("eval", "exec", "pickle.load", "pickle.loads")
            or (called == "torch.load" and shown.get("weights_only") != "True")
            or (called in ("np.load", "numpy.load") and shown.get("allow_pickle", "False") != "False")
            or called.endswith(("read_pickle", "load_from_checkpoint", "jit.load", "DataFrame.deserialize"))
        )
        found += [f"calls {called}"] * is_bad
    return [f"{name}: {one}" for one in found]


def test_no_file_unpickles_or_evaluates():
    assert len(SOURCES) > 300
    assert [one for path in SOURCES for one in offences(path)] == []


def test_the_check_itself_sees_what_it_looks_for(tmp_path, monkeypatch):
    monkeypatch.setattr("test_no_foreign_code.REPOSITORY", tmp_path)
    path = tmp_path / "bad.py"
    path.write_text(
        "import pickle\ntorch.load(p)\ntorch.load(p, weights_only=False)\nnp.load(p, allow_pickle=True)"
    )
    assert len(offences(path)) == 4


def test_registered_models_are_kept_as_code_and_values():
    kept = ast.parse((REPOSITORY / "edpipe" / "tracking" / "model_run.py").read_text(encoding="utf-8"))
    (logged,) = [
        node
        for node in ast.walk(kept)
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("pyfunc.log_model")
    ]
    given = {word.arg: ast.unparse(word.value) for word in logged.keywords}
    # A path makes MLflow keep the file; an object would be pickled.
    assert given["python_model"].startswith("str(")


class Malicious:
    """Leaves a file where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


@pytest.fixture
def mark(tmp_path) -> Path:
    return tmp_path / "executed"


def in_torch_form(content: object, path: Path) -> None:
    """Write a checkpoint as torch does, with a pickle of anybody's."""
    torch.save({"format": 1}, path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, body in members.items():
            archive.writestr(name, pickle.dumps(content) if name.endswith("data.pkl") else body)


def bare(content: object, path: Path) -> None:
    path.write_bytes(pickle.dumps(content))


@pytest.mark.parametrize("written", [in_torch_form, bare])
@pytest.mark.parametrize("name", LOADERS)
def test_a_checkpoint_that_would_run_code_is_refused_and_does_not(name, written, mark, tmp_path):
    path = tmp_path / name
    written({"format": 1, "config": Malicious(mark)}, path)
    with pytest.raises(TrainingError, match="more than tensors") as refused:
        LOADERS[name](tmp_path)
    assert str(path) in str(refused.value)
    assert "Next step" in str(refused.value)
    assert not mark.exists()
    # The attack works where nobody guards against it: the test means something.
    pickle.loads(pickle.dumps(Malicious(mark)))
    assert mark.exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04torn", b"not a checkpoint", bytes(1000)])
def test_a_torn_checkpoint_is_refused(content, tmp_path):
    path = tmp_path / "tracer.pt"
    path.write_bytes(content)
    with pytest.raises(TrainingError, match="torn"):
        load_checkpoint(path)


def test_half_a_checkpoint_is_refused(tmp_path):
    path = tmp_path / "tracer.pt"
    torch.save({"weights": torch.zeros(1000)}, path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(TrainingError, match="torn"):
        load_checkpoint(path)


def test_an_array_of_objects_is_not_unpickled(mark, tmp_path):
    stream = io.BytesIO()
    np.save(stream, np.array([Malicious(mark)], dtype=object), allow_pickle=True)
    stream.seek(0)
    with pytest.raises(ValueError, match="allow_pickle"):
        np.load(stream)
    assert not mark.exists()
