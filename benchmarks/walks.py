"""Weighted second-order random walks a second, ours and PecanPy's, on one graph with the same parameters.

    python benchmarks/walks.py [--nodes 100000] [--edges 2000000] [--lengths 10,20,80] [--threads 2]
        [--graphs kcs,uniform,hubs] [--modes SparseOTF] [--pecanpy FOLDER]

Three graphs of equal size: `kcs` joins students and problems (99 in 100 nodes) to KCs (1 in 100), as the
graph that embeddings are learned from; `uniform` draws ends evenly; `hubs` draws one end by a power law.
PecanPy does not run beside numpy 2: it gets a virtual environment of its own, in FOLDER (default: below the
system's temporary folder), made at first with `pip install pecanpy "numpy<2"`. Both read the same edges;
laying them out and walking are timed apart, compiling not at all. PecanPy's tables of second-order
probabilities (mode PreComp) grow with the sum of squared degrees and fit in memory for `uniform` alone.
On a busy machine compare processor seconds. Writes `benchmarks/results/walks.csv`.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path
from typing import Any

import numpy as np

REPOSITORY = Path(__file__).resolve().parents[1]
RESULTS = REPOSITORY / "benchmarks" / "results" / "walks.csv"
# p and q of node2vec: plain weighted walks that still ask for adjacency, staying near, and going out.
PARAMETERS = ((1.0, 0.5), (0.5, 2.0))
# PecanPy's walks are counted on fewer starts: it walks some thousands a second.
PECANPY_WALKS = 5_000
COLUMNS = [
    "walker", "mode", "graph", "nodes", "edges", "length", "p", "q", "threads", "walks", "layout_seconds",
    "walk_seconds", "cpu_seconds", "walks_a_second", "walks_a_cpu_second", "times_pecanpy",
    "times_pecanpy_by_cpu",
]  # fmt: skip

PECANPY_SCRIPT = """
import json, sys, time
import numpy as np
from numba_progress import ProgressBar
from pecanpy import pecanpy
given = json.loads(sys.argv[1])
starts = np.load(given["starts"]).astype(np.uint32)
rows = []
for mode in given["modes"]:
    for p, q in given["parameters"]:
        started = time.perf_counter()
        graph = getattr(pecanpy, mode)(p=p, q=q, workers=given["threads"], random_state=1)
        graph.read_npz(given["graph"], weighted=True, implicit_ids=True)
        graph.preprocess_transition_probs()
        layout = time.perf_counter() - started
        functions = graph.get_has_nbrs(), graph.get_move_forward()
        for length in given["lengths"]:
            with ProgressBar(total=len(starts), disable=True) as bar:
                # Its length counts steps, ours nodes.
                graph._random_walks(64, length - 1, 1, starts[:64], *functions, bar)
                started, cpu = time.perf_counter(), time.process_time()
                graph._random_walks(len(starts), length - 1, 1, starts, *functions, bar)
                seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
            rows.append([mode, p, q, length, len(starts), layout, seconds, cpu])
print(json.dumps(rows))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--nodes", type=int, default=100_000)
    parser.add_argument("--edges", type=int, default=2_000_000)
    parser.add_argument("--lengths", default="10,20,80")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--graphs", default="kcs,uniform,hubs")
    parser.add_argument("--modes", default="SparseOTF")
    parser.add_argument("--pecanpy", type=Path, default=Path(tempfile.gettempdir()) / "edpipe_pecanpy")
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    lengths = [int(length) for length in given.lengths.split(",")]
    rows: list[dict[str, Any]] = []
    for kind in given.graphs.split(","):
        ends, weights = draw_graph(given.nodes, given.edges, kind)
        shared = {"graph": kind, "nodes": given.nodes, "edges": len(ends), "threads": given.threads}
        own = ours(ends, weights, given.nodes, lengths, given.threads, is_bipartite=kind == "kcs")
        rows += [{**shared, **row} for row in own]
        if given.modes:
            rows += [{**shared, **row} for row in pecanpys(ends, weights, lengths, given)]
    compare(rows)
    write(given.results, rows)
    for row in rows:
        times = ""
        if row.get("times_pecanpy"):
            times = (
                f", {row['times_pecanpy']} times PecanPy ({row['times_pecanpy_by_cpu']} by processor time)"
            )
        print(
            f"{row['walker']} {row['mode']} {row['graph']} length {row['length']} p {row['p']} q {row['q']}: "
            f"{row['walks_a_second']:,} walks/s, laid out in {row['layout_seconds']} s{times}"
        )


def draw_graph(num_nodes: int, num_edges: int, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Draw undirected edges, none twice, none to itself, of weights in [0.1, 1.1)."""
    rng = np.random.default_rng(7)
    found = np.empty(0, dtype=np.int64)
    while len(found) < num_edges:
        pairs = rng.integers(0, num_nodes, (num_edges, 2))
        if kind == "kcs":
            num_kcs = num_nodes // 100
            pairs[:, 0] = pairs[:, 0] % num_kcs
            pairs[:, 1] = num_kcs + pairs[:, 1] % (num_nodes - num_kcs)
        elif kind == "hubs":
            # One end by a power law: node i with chance proportional to 1 / sqrt(i).
            pairs[:, 0] = (num_nodes * np.square(rng.random(num_edges))).astype(np.int64)
        pairs = np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1)
        found = np.unique(np.concatenate([found, pairs[:, 0] * num_nodes + pairs[:, 1]]))
    code = rng.permutation(found)[:num_edges]
    return np.stack([code // num_nodes, code % num_nodes], axis=1), rng.random(num_edges) + 0.1


def ours(
    ends: np.ndarray,
    weights: np.ndarray,
    num_nodes: int,
    lengths: list[int],
    num_threads: int,
    *,
    is_bipartite: bool,
) -> list[dict[str, Any]]:
    """Walk once from every node, by every length and parameters; compiling is not counted."""
    from edpipe.mastery.walk_graph import walk_graph
    from edpipe.mastery.walks import random_walks

    def laid_out() -> Any:
        source, target = np.concatenate([ends, ends[:, ::-1]]).T
        return walk_graph(source, target, np.tile(weights, 2), num_nodes, is_bipartite=is_bipartite)

    graph = laid_out()
    started = time.perf_counter()
    graph = laid_out()
    layout = time.perf_counter() - started
    starts = np.random.default_rng(1).permutation(num_nodes).astype(np.int32)
    rows = []
    for p, q in PARAMETERS:
        options = {"return_parameter": p, "in_out_parameter": q, "seed": 1, "num_threads": num_threads}
        random_walks(graph, starts[:100], length=3, **options)
        for length in lengths:
            started, cpu = time.perf_counter(), time.process_time()
            random_walks(graph, starts, length=length, **options)
            seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
            rows.append(figures("edpipe", "rejection", p, q, length, len(starts), layout, seconds, cpu))
    return rows


def pecanpys(
    ends: np.ndarray, weights: np.ndarray, lengths: list[int], given: argparse.Namespace
) -> list[dict[str, Any]]:
    """Run PecanPy on the same graph in its own environment."""
    python = given.pecanpy / "bin" / "python"
    if not python.exists():
        venv.create(given.pecanpy, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "pecanpy", "numpy<2"], check=True)
    from scipy.sparse import coo_array

    source, target = np.concatenate([ends, ends[:, ::-1]]).T
    matrix = coo_array((np.tile(weights, 2), (source, target)), shape=(given.nodes, given.nodes)).tocsr()
    matrix.sort_indices()
    starts = np.random.default_rng(1).permutation(given.nodes)[:PECANPY_WALKS]
    with tempfile.TemporaryDirectory() as folder:
        graph, first = Path(folder) / "graph.npz", Path(folder) / "starts.npy"
        np.savez(
            graph,
            data=matrix.data.astype(np.float32),
            indptr=matrix.indptr.astype(np.uint32),
            indices=matrix.indices.astype(np.uint32),
            shape=np.array(matrix.shape),
            format="csr",
        )
        np.save(first, starts)
        task = {
            "graph": str(graph),
            "starts": str(first),
            "lengths": lengths,
            "parameters": PARAMETERS,
            "modes": given.modes.split(","),
            "threads": given.threads,
        }
        environment = {**os.environ, "NUMBA_NUM_THREADS": str(given.threads)}
        done = subprocess.run(
            [python, "-c", PECANPY_SCRIPT, json.dumps(task)],
            check=True,
            capture_output=True,
            text=True,
            env=environment,
        )
    print(done.stderr, file=sys.stderr)
    found = json.loads(done.stdout.splitlines()[-1])
    return [
        figures("pecanpy", mode, p, q, length, walks, layout, seconds, cpu)
        for mode, p, q, length, walks, layout, seconds, cpu in found
    ]


def figures(
    walker: str,
    mode: str,
    p: float,
    q: float,
    length: int,
    walks: int,
    layout: float,
    seconds: float,
    cpu: float,
) -> dict[str, Any]:
    return {
        "walker": walker,
        "mode": mode,
        "length": length,
        "p": p,
        "q": q,
        "walks": walks,
        "layout_seconds": round(layout, 2),
        "walk_seconds": round(seconds, 3),
        "cpu_seconds": round(cpu, 3),
        "walks_a_second": round(walks / seconds),
        "walks_a_cpu_second": round(walks / cpu),
    }


def compare(rows: list[dict[str, Any]]) -> None:
    """Say how many times as fast ours walks as the fastest mode of PecanPy, by length and parameters."""
    key = ("graph", "length", "p", "q")
    for row in rows:
        others = [
            other
            for other in rows
            if other["walker"] == "pecanpy" and all(other[name] == row[name] for name in key)
        ]
        if row["walker"] == "edpipe" and others:
            for name, speed in (
                ("times_pecanpy", "walks_a_second"),
                ("times_pecanpy_by_cpu", "walks_a_cpu_second"),
            ):
                row[name] = round(row[speed] / max(other[speed] for other in others), 1)


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write all rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, COLUMNS, lineterminator="\n", restval="")
        table.writeheader()
        table.writerows(rows)


if __name__ == "__main__":
    main()
