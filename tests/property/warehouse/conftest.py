"""SQL models rendered once for all tests of this folder."""

from __future__ import annotations

import pytest
from sql_in_memory import Models

from edpipe.settings import load_settings


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    home = tmp_path_factory.mktemp("oracle")
    return Models(load_settings("smoke", file=home / "none.toml", home=home, progress="none"))
