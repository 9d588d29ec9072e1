"""An archive with as many members as the published one stays within its memory."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).resolve().parents[3] / "benchmarks" / "ingest.py"
PUBLISHED_MEMBERS = 784_309
LARGEST_MIB = 1536


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_all_members_of_kt1_need_less_than_1_5_gib(tmp_path):
    results = tmp_path / "ingest.csv"
    options = ["--students", str(PUBLISHED_MEMBERS), "--mean-rows", "12", "--peers", "none"]
    command = [sys.executable, str(BENCHMARK), *options, "--folder", str(tmp_path), "--results", str(results)]
    subprocess.run(command, check=True, capture_output=True)
    with results.open(newline="") as file:
        [line] = csv.DictReader(file)
    assert int(line["files"]) == PUBLISHED_MEMBERS
    assert float(line["peak_mib"]) < LARGEST_MIB
