"""Commands that are advised name the source that is there."""

from __future__ import annotations

import pytest

from edpipe.advice import train_command
from edpipe.raw import Manifest, write_manifest


@pytest.mark.parametrize(
    ("landed", "model", "command"),
    [
        ((), "tracing", "edpipe train tracing"),
        (("ednet", "kddcup"), "tracing", "edpipe train tracing"),
        (("kddcup",), "tracing", "edpipe train tracing --source kddcup"),
        (("assistments",), "tracing", "edpipe train tracing --source assistments"),
        (("kddcup",), "strategy", "edpipe train strategy"),
        (("ednet", "mathia"), "strategy", "edpipe train strategy --source mathia"),
        (("ednet",), "strategy", "edpipe train strategy"),
    ],
)
def test_a_source_is_named_where_the_one_of_the_settings_is_not_there(settings, landed, model, command):
    for source in landed:
        relation = {"ednet": "kt1", "assistments": "answers"}.get(source, "steps")
        write_manifest(settings.raw_dir, Manifest(source, relation, "f", inputs=[], shards=[]))
    assert train_command(settings, model) == command
