"""A source that is not there is refused with those that are."""

from __future__ import annotations

import pytest

import edpipe
from edpipe.errors import SettingsError
from edpipe.families.raw_data import refuse_absent_source
from edpipe.raw import TUTOR_SOURCES
from edpipe.sources.synthetic import draw_tutor_world, write_ednet, write_kddcup


@pytest.fixture
def with_ednet(tmp_path, settings):
    folder = write_ednet(tmp_path / "ednet", num_students=20, num_items=40, levels=("kt1",), seed=1).folder
    edpipe.ingest("ednet", [folder], settings)
    return settings


def test_nothing_is_refused_before_anything_was_ingested(settings):
    refuse_absent_source(settings, "strategy", "kddcup", among=TUTOR_SOURCES)


def test_sources_without_strategies_are_not_offered(with_ednet):
    with pytest.raises(SettingsError) as refused:
        refuse_absent_source(with_ednet, "strategy", "kddcup", among=TUTOR_SOURCES)
    assert "edpipe ingest kddcup" in str(refused.value)
    assert "--source ednet" not in str(refused.value)


def test_the_tutor_log_that_is_there_is_offered(with_ednet, tmp_path):
    write_kddcup(tmp_path / "tutor", draw_tutor_world(8, 1, 4, 6), keep_truth=False)
    edpipe.ingest("kddcup", [tmp_path / "tutor"], with_ednet)
    refuse_absent_source(with_ednet, "strategy", "kddcup", among=TUTOR_SOURCES)
    with pytest.raises(SettingsError, match="--source kddcup"):
        refuse_absent_source(with_ednet, "strategy", "mathia", among=TUTOR_SOURCES)
