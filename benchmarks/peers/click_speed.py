"""How many candidates of a student a second are scored: edpipe's scorer and FuxiCTR's network, in turns.

Ours is :class:`~edpipe.prediction.recommend.ItemScorer` as `edpipe score` uses it: the vectors of behaviors
are made anew for each student, and shared by the candidates. FuxiCTR's loader gives each candidate its own
copy of the history. Weights are fresh: they cost what trained ones do. Process time, one thread.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from peers.click_rows import export_rows, write_asked

from edpipe.datasets.impressions_batches import ImpressionEncoder
from edpipe.prediction.diffumin import TrainedRecommender
from edpipe.prediction.recommend import History, ItemScorer
from models.diffumin import DiffuMINConfig, build_diffumin

NUM_CANDIDATES, MOST_STUDENTS, NUM_TURNS = 200, 5, 9


def measured_speed(
    encoder: ImpressionEncoder,
    networks: dict[str, DiffuMINConfig],
    sizes: dict[str, Any],
    folder: Path,
    command: list[str],
    *,
    num_turns: int,
) -> pl.DataFrame:
    """Return candidates scored a second by each network, and how often that is FuxiCTR's SIM.

    Parameters
    ----------
    encoder
        Dataset, and how many behaviors are shown; only students with as many are asked about.
    networks
        Our networks by name; ``diffumin`` is timed without a second view, and with a one-step one.
    sizes
        Widths that FuxiCTR's are given.
    folder
        Where rows are written for it.
    command
        Starts the other side.
    num_turns
        Medians are of so many.
    """
    lengths = np.diff(np.asarray(encoder.dataset.columns["offsets"]))
    students = np.flatnonzero(lengths >= encoder.max_length)[:MOST_STUDENTS].tolist()
    if not students:
        raise SystemExit(f"No student has {encoder.max_length} behaviors; give a smaller --length.")
    often = np.asarray(encoder.dataset.columns["popularity"])
    candidates = np.argsort(-often, kind="stable")[:NUM_CANDIDATES].astype(np.int64)
    described = {**sizes, "num_candidates": NUM_CANDIDATES}
    export_rows(encoder, folder, num_epochs=1, batch_size=256, sizes=described)
    write_asked(encoder, students, candidates.tolist(), folder)
    ours: dict[str, Callable[[], float]] = {}
    for name, config in networks.items():
        if name == "diffumin":
            for kind, augmentation in (("no second view", "none"), ("one-step student", "distilled")):
                changed: Any = replace(config, augmentation=augmentation)
                ours[f"diffumin, {kind}"] = _timed(encoder, changed, students, candidates)
        else:
            ours[name] = _timed(encoder, config, students, candidates)
    theirs = {name: _started([*command, "--rows", str(folder), "--model", name]) for name in ("SIM", "TWIN")}
    times: dict[tuple[str, str], list[float]] = {}
    for turn in range(num_turns + 1):
        found: dict[tuple[str, str], float] = {("edpipe", name): seconds() for name, seconds in ours.items()}
        for name, process in theirs.items():
            spent = _asked(process)
            found["FuxiCTR", name] = spent["loader"] + spent["network"]
            found["FuxiCTR", f"{name}, network alone"] = spent["network"]
        if turn:  # the first warms up
            for key, value in found.items():
                times.setdefault(key, []).append(value)
    for process in theirs.values():
        assert process.stdin is not None
        process.stdin.close()
        process.wait()
    return _table(times, len(students), encoder.max_length, num_turns)


def _table(
    times: dict[tuple[str, str], list[float]], num_students: int, length: int, num_turns: int
) -> pl.DataFrame:
    number = num_students * NUM_CANDIDATES
    medians = {key: statistics.median(found) for key, found in times.items()}
    rows = [
        {
            "side": side,
            "network": name,
            "behaviors": length,
            "candidates": NUM_CANDIDATES,
            "students": num_students,
            "rows_per_second": number / median,
            "ms_per_student": 1e3 * median / num_students,
            "times_sim_of_fuxictr": medians["FuxiCTR", "SIM"] / median,
            "times_its_network_alone": medians["FuxiCTR", "SIM, network alone"] / median,
            "turns": num_turns,
            "machine": f"{platform.machine()} {os.cpu_count()} cores, 1 thread",
        }
        for (side, name), median in medians.items()
    ]
    return pl.DataFrame(rows)


def _timed(
    encoder: ImpressionEncoder, config: DiffuMINConfig, students: list[int], candidates: Any
) -> Callable[[], float]:
    """Return what scores all candidates of all students and tells the seconds."""
    dataset = encoder.dataset
    trained = TrainedRecommender(
        model=build_diffumin(config).eval(),
        features=encoder.features,
        catalog=dataset.catalog,
        data={},
        options={"max_length": encoder.max_length, "negatives": 1, "seed": 0},
    )
    scorer = ItemScorer(trained, dataset.catalog)
    bounds = np.asarray(dataset.columns["offsets"])
    histories = []
    for student in students:
        items = np.asarray(dataset.columns["item"])[bounds[student] : bounds[student + 1]].astype(np.int64)
        histories.append(History(student, items, [None] * len(items), np.unique(items)))

    def seconds() -> float:
        started = time.process_time()
        for history in histories:
            scorer.probabilities(history, candidates)
        return time.process_time() - started

    return seconds


def _started(command: list[str]) -> subprocess.Popen[str]:
    """Start the other side and wait until it is ready."""
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    if process.stdout.readline().strip() != "ready":
        raise SystemExit("FuxiCTR's side did not start; see above. Is `--fuxictr-python` right?")
    return process


def _asked(process: subprocess.Popen[str]) -> dict[str, float]:
    """Let the other side score all candidates once."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("go\n")
    process.stdin.flush()
    found: dict[str, float] = json.loads(process.stdout.readline())
    return found
