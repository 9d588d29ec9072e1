from __future__ import annotations

import json
from pathlib import Path

import pytest

from edpipe.errors import SettingsError
from edpipe.settings import PRESETS, Settings, load_settings


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in ("EDPIPE_HOME", "EDPIPE_PRESET", "EDPIPE_TRACING__SIZE", "EDPIPE_SEED"):
        monkeypatch.delenv(name, raising=False)


def test_every_later_place_wins_over_the_earlier(monkeypatch, tmp_path):
    assert load_settings("smoke").tracing.size == 32
    (tmp_path / "edpipe.toml").write_text("[tracing]\nsize = 40\nnum_layers = 3\n")
    assert load_settings("smoke").tracing.size == 40
    monkeypatch.setenv("EDPIPE_TRACING__SIZE", "48")
    assert load_settings("smoke").tracing.size == 48
    settings = load_settings("smoke", tracing={"size": 56})
    assert settings.tracing.size == 56
    assert settings.tracing.num_layers == 3  # what the flag does not name stays


def test_the_preset_can_be_named_in_the_file_and_in_the_environment(monkeypatch, tmp_path):
    (tmp_path / "edpipe.toml").write_text('preset = "full"\n')
    assert load_settings().preset == "full"
    monkeypatch.setenv("EDPIPE_PRESET", "smoke")
    assert load_settings().tracing.size == 32
    assert load_settings("small").preset == "small"


@pytest.mark.parametrize(
    ("flags", "hint"),
    [
        ({"hoem": "x"}, "'home'"),
        ({"tracing": {"learning_rte": 1e-3}}, "'learning_rate'"),
        ({"warehouse": {"treads": 2}}, "'threads'"),
    ],
)
def test_an_unknown_key_is_refused_with_the_closest_known_one(flags, hint):
    with pytest.raises(SettingsError, match=f"Did you mean {hint}"):
        load_settings(**flags)


def test_an_unknown_key_in_the_file_is_refused(tmp_path):
    (tmp_path / "edpipe.toml").write_text("[tracing]\nsizee = 40\n")
    with pytest.raises(SettingsError, match="'size'"):
        load_settings()


def test_an_unknown_name_in_the_environment_is_refused(monkeypatch):
    monkeypatch.setenv("EDPIPE_HOEM", "x")
    with pytest.raises(SettingsError, match="EDPIPE_HOME"):
        load_settings()


def test_where_the_tests_find_real_data_is_no_setting(monkeypatch):
    monkeypatch.setenv("EDPIPE_REAL_DATA", "anywhere")
    load_settings()


def test_a_value_out_of_range_names_the_setting_and_the_value():
    with pytest.raises(SettingsError, match=r"tracing\.dropout(.|\n)*1\.5"):
        load_settings(tracing={"dropout": 1.5})


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("auto_ets,deepar", ("auto_ets", "deepar")),
        (" auto_ets , deepar ,", ("auto_ets", "deepar")),
        ("auto_ets", ("auto_ets",)),
        ("", ()),
        (["tft"], ("tft",)),
    ],
)
def test_a_list_is_read_from_text_with_commas(given, read):
    assert load_settings(tsdiff={"peers": given}).tsdiff.peers == read


def test_numbers_in_a_list_are_numbers_and_unknown_names_are_refused():
    assert load_settings(tsdiff={"lags": "7,14"}).tsdiff.lags == (7, 14)
    with pytest.raises(SettingsError, match=r"tsdiff\.peers(.|\n)*prophet"):
        load_settings(tsdiff={"peers": "prophet"})


def test_an_unknown_preset_is_refused():
    with pytest.raises(SettingsError, match="'smoke'"):
        load_settings("smok")


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_valid(preset):
    assert load_settings(preset).preset == preset


def test_settings_survive_json():
    settings = load_settings("smoke", home=Path("elsewhere"))
    assert Settings(**settings.model_dump(mode="json")) == settings


def test_settings_that_went_through_json_are_the_same_text():
    settings = load_settings("smoke")
    again = Settings(**settings.model_dump(mode="json"))
    # Digests of these texts name what is made: 0 and 0.0 would make it twice.
    assert again.model_dump_json() == settings.model_dump_json()
    assert json.dumps(again.clusters.model_dump()) == json.dumps(settings.clusters.model_dump())


def test_a_file_that_is_no_toml_is_refused(tmp_path):
    (tmp_path / "edpipe.toml").write_text("size = = 3\n")
    with pytest.raises(SettingsError, match=r"edpipe\.toml"):
        load_settings()


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ({"field_size": 5}, "field_size must be even"),
        ({"mlp_sizes": ""}, "mlp_sizes must hold one or more"),
        ({"mlp_sizes": "16,0"}, "mlp_sizes must hold one or more"),
        ({"augmentation": "luck"}, r"diffumin\.augmentation"),
        ({"floors": "item_rate,luck"}, r"diffumin\.floors"),
    ],
)
def test_a_recommender_that_cannot_be_is_refused(given, hint):
    with pytest.raises(SettingsError, match=hint):
        load_settings(diffumin=given)


def test_the_smallest_recommender_is_smaller_than_the_usual_one():
    smoke, full = load_settings("smoke"), load_settings("full")
    assert sum(smoke.diffumin.mlp_sizes) < sum(full.diffumin.mlp_sizes)
    assert smoke.recommendation.max_length < full.recommendation.max_length
    assert load_settings(diffumin={"mlp_sizes": "64,32"}).diffumin.mlp_sizes == (64, 32)


def test_scheduled_sources_are_read_from_a_file_a_flag_or_the_environment(tmp_path, monkeypatch):
    file = tmp_path / "edpipe.toml"
    file.write_text('[schedule.sources]\nednet = ["/a", "/b"]\n')
    wanted = {"ednet": ("/a", "/b")}
    assert load_settings(file=file).schedule.sources == wanted
    file.unlink()
    assert load_settings(file=file, schedule={"sources": {"ednet": "/a, /b"}}).schedule.sources == wanted
    monkeypatch.setenv("EDPIPE_SCHEDULE__SOURCES", '{"ednet": ["/a", "/b"]}')
    assert load_settings(file=file).schedule.sources == wanted


@pytest.mark.parametrize("group", ["tracingg", "sources"])
def test_an_unknown_group_is_refused_even_if_it_is_empty(group, tmp_path):
    with pytest.raises(SettingsError, match="unknown setting"):
        load_settings(file=tmp_path / "edpipe.toml", **{group: {}})


def test_deliveries_are_folders_by_source(tmp_path):
    file = tmp_path / "edpipe.toml"
    file.write_text('[schedule.deliveries]\nednet = ["/a"]\nkddcup = "/b, /c"\n')
    wanted = {"ednet": ("/a",), "kddcup": ("/b", "/c")}
    assert load_settings(file=file).schedule.deliveries == wanted
