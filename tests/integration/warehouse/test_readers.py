"""Readers in other processes while tables are published, and builders that are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from raw_tables import write_answers, write_questions

from edpipe import warehouse
from edpipe.settings import Settings

pytestmark = pytest.mark.integration

READER = """
import sys, duckdb
path, until = sys.argv[1], sys.argv[2]
import os, time
kept = duckdb.connect(path, read_only=True)
first = kept.sql("select count(*) from core.interactions").fetchone()
seen = 0
print("ready", flush=True)
while not os.path.exists(until):
    with duckdb.connect(path, read_only=True) as con:
        made = con.sql("select count(*) from core.interactions").fetchone()
        steps = con.sql("select count(is_correct) from training.tracing_examples").fetchone()
        rest = con.sql("select sum(num_interactions) from core.students").fetchone()
        assert made == rest and made[0] % 4 == 0 and steps[0] == made[0] * 3 // 4, (made, steps, rest)
    assert kept.sql("select count(*) from core.interactions").fetchone() == first
    seen += 1
print(seen, flush=True)
"""

BUILDER = """
import sys
from pathlib import Path
from edpipe.settings import load_settings
from edpipe import warehouse
home = Path(sys.argv[1])
warehouse.build(load_settings("smoke", file=home / "none.toml", home=home, progress="log"), full=True)
"""


@pytest.fixture
def built(settings: Settings) -> Settings:
    write_questions(settings.raw_dir)
    write_answers(settings.raw_dir, 5, "1")
    warehouse.build(settings)
    return settings


def test_readers_see_whole_tables_while_others_are_published(built: Settings, tmp_path: Path) -> None:
    until = tmp_path / "stop"
    command = [sys.executable, "-c", READER, str(built.published_path), str(until)]
    readers = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)
    ]
    try:
        for reader in readers:
            assert reader.stdout is not None
            assert reader.stdout.readline().strip() == "ready"
        for version in (2, 3):
            write_answers(built.raw_dir, 5 + version, str(version))
            warehouse.build(built)
            for _ in range(3):
                warehouse.publish(built)
    finally:
        until.touch()
    for reader in readers:
        output, errors = reader.communicate(timeout=60)
        assert reader.returncode == 0, errors
        assert int(output.split()[-1]) > 0


def test_a_killed_build_leaves_the_old_tables_and_the_next_one_ends_it(built: Settings) -> None:
    before = warehouse.query(built, "SELECT * FROM core.interactions ORDER BY ALL")
    write_answers(built.raw_dir, 8, "2")
    builder = subprocess.Popen(
        [sys.executable, "-c", BUILDER, str(built.home)], stderr=subprocess.PIPE, text=True
    )
    assert builder.stderr is not None
    # SQLMesh has begun to write relations when the first line of the build is out.
    while "build: started" not in builder.stderr.readline():
        assert builder.poll() is None
    time.sleep(0.5)
    os.kill(builder.pid, signal.SIGKILL)
    builder.wait()
    builder.stderr.close()
    assert warehouse.status(built).holder is None
    assert warehouse.query(built, "SELECT * FROM core.interactions ORDER BY ALL").equals(before)
    warehouse.build(built)
    assert warehouse.query(built, "SELECT COUNT(*) FROM core.interactions").item() == 32
