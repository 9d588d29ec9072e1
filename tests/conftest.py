"""Fixtures that every part shares."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edpipe.settings import ENVIRONMENT_PREFIX, Settings, load_settings

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of lent real data; tests that need it are skipped by name where it is absent."""
    folder = Path(os.environ.get("EDPIPE_REAL_DATA", REPOSITORY / ".." / "shared" / "data")).resolve()
    if not folder.is_dir():
        pytest.skip(f"real data not present: set EDPIPE_REAL_DATA (looked in {folder})")
    return folder


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Smallest settings, writing only below the test's own folder."""
    for name in list(os.environ):
        if name.startswith(ENVIRONMENT_PREFIX):
            monkeypatch.delenv(name)
    return load_settings("smoke", file=tmp_path / "edpipe.toml", home=tmp_path / "data", progress="none")
