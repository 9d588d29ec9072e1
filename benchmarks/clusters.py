"""DP-means of instances against `pdc-dp-means` and k-means of scikit-learn at the same number of clusters.

    python -m venv DIR && DIR/bin/pip install pdc-dp-means
    python benchmarks/clusters.py --pdc-python DIR/bin/python [--sizes 20000,200000,1700000]

`pdc-dp-means` needs an older numpy and scikit-learn, hence its own environment; k-means runs there too.
Students, sections and problems (6,043, 125 and 61,848) get vectors of 16 numbers around planted centers, and
instances pair them at random. Ours takes the three codes of an instance; the others the same points built,
48 numbers in single precision, which at 1.7 million instances are 311 MiB (at 3 x 300 numbers they would be
5.7 GiB, and double for the copies these make). All use the same penalty and one start. `pdc-dp-means` opens
one cluster a pass at most and gets 300 passes; k-means gets our number of clusters and runs with several
seeds, of which the least objective and the median are what ours has to be compared with. Each runs in a
process of its own with two threads that do not spin; `cpu_seconds` adds both up, and tells more than
`seconds` on a machine that does other work as well. Writes `benchmarks/results/clusters.csv` after each size.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

REPOSITORY = Path(__file__).resolve().parents[1]
RESULTS = REPOSITORY / "benchmarks" / "results" / "clusters.csv"
NUM_STUDENTS, NUM_SECTIONS, NUM_PROBLEMS, DIM = 6_043, 125, 61_848, 16
COLUMNS = [
    "method",
    "num_instances",
    "radius",
    "seed",
    "num_clusters",
    "objective",
    "passes",
    "seconds",
    "cpu_seconds",
    "peak_memory_mib",
]
OURS = """
import json, resource, sys, time
import numpy as np
from edpipe.mastery.dp_means import dp_means
from edpipe.mastery.dp_means_instances import InstancePoints
folder, radius, seed = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
with np.load(folder + "/parts.npz") as stored:
    keys, *parts = (stored[name] for name in ("keys", "students", "sections", "problems"))
dp_means(InstancePoints(keys[:2000], *parts), radius=radius)  # compile
started, used = time.perf_counter(), time.process_time()
found = dp_means(InstancePoints(keys, *parts), radius=radius, seed=seed)
seconds, used = time.perf_counter() - started, time.process_time() - used
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps([found.num_clusters, found.objective[-1], len(found.objective), seconds, used, peak]))
"""
THEIRS = """
import json, resource, sys, time
import numpy as np
folder, penalty, seed = sys.argv[1], float(sys.argv[2]) ** 2, int(sys.argv[3])
method, number = sys.argv[4], int(sys.argv[5])
with np.load(folder + "/parts.npz") as stored:
    keys, *parts = (stored[name] for name in ("keys", "students", "sections", "problems"))
points = np.concatenate([part[keys[:, column]] for column, part in enumerate(parts)], axis=1)
if method == "pdc-dp-means":
    from pdc_dp_means import DPMeans
    model = DPMeans(n_clusters=1, n_init=1, delta=penalty, max_iter=300, random_state=seed)
else:
    from sklearn.cluster import KMeans
    model = KMeans(n_clusters=number, n_init=1, max_iter=300, random_state=seed)
started, used = time.perf_counter(), time.process_time()
model.fit(points)
seconds, used = time.perf_counter() - started, time.process_time() - used
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
centers, labels = model.cluster_centers_.astype(np.float64), model.labels_
residual = sum(
    float(np.square(points[top : top + 100_000] - centers[labels[top : top + 100_000]]).sum())
    for top in range(0, len(points), 100_000)
)
print(json.dumps([len(centers), residual + penalty * len(centers), model.n_iter_, seconds, used, peak]))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pdc-python", type=Path, required=True)
    parser.add_argument("--sizes", default="20000,200000,1700000")
    parser.add_argument("--radius", type=float, default=1.3)
    parser.add_argument("--seeds", default="7,8,9", help="of k-means; the others take the first")
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    seeds = [int(word) for word in given.seeds.split(",")]
    rows: list[dict[str, Any]] = []
    for size in (int(word) for word in given.sizes.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            write_parts(Path(folder), size)
            place = (size, given.radius, folder)
            ours = measure(Path(sys.executable), OURS, "edpipe", seeds[0], *place)
            rows.append(ours)
            rows.append(measure(given.pdc_python, THEIRS, "pdc-dp-means", seeds[0], *place))
            number = str(ours["num_clusters"])
            rows += [measure(given.pdc_python, THEIRS, "k-means", seed, *place, number) for seed in seeds]
        write(given.results, rows)


def write_parts(folder: Path, num_instances: int) -> None:
    """Write vectors around planted centers, and the codes of different instances."""
    rng = np.random.default_rng(7)
    problem = rng.integers(0, NUM_PROBLEMS, num_instances)
    section = problem * NUM_SECTIONS // NUM_PROBLEMS
    student = rng.integers(0, NUM_STUDENTS, num_instances)
    np.savez(
        folder / "parts.npz",
        keys=np.stack([student, section, problem], axis=1).astype(np.int32),
        students=around(6, NUM_STUDENTS, rng),
        sections=around(20, NUM_SECTIONS, rng),
        problems=around(20, NUM_PROBLEMS, rng),
    )


def around(num_centers: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """Return vectors of length 1 that scatter around a few directions."""
    centers = unit(rng.normal(size=(num_centers, DIM)))
    noise = 0.5 * unit(rng.normal(size=(size, DIM)))
    return unit(centers[rng.integers(0, num_centers, size)] + noise).astype(np.float32)


def unit(vectors: np.ndarray) -> np.ndarray:
    """Return the vectors set to length 1."""
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def measure(
    python: Path,
    program: str,
    method: str,
    seed: int,
    size: int,
    radius: float,
    folder: str,
    number: str = "0",
) -> dict[str, Any]:
    """Run a method in a process of its own."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "2")
    threads["OMP_WAIT_POLICY"] = "PASSIVE"
    command = [str(python), "-c", program, folder, str(radius), str(seed), method, number]
    ran = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=REPOSITORY, env={**os.environ, **threads}
    )
    if ran.returncode:
        raise SystemExit(f"{method} failed at {size:,} instances:\n{ran.stderr}")
    num_clusters, objective, passes, seconds, used, peak = json.loads(ran.stdout.splitlines()[-1])
    print(
        f"{size:>9,} {method:<13} {num_clusters:>6} clusters  J {objective:,.1f}  {passes:>4} passes"
        f"  {seconds:8.1f} s  {used:8.1f} s of CPU",
        flush=True,
    )
    times = (round(seconds, 2), round(used, 2), round(peak))
    values = (method, size, radius, seed, num_clusters, round(objective, 2), passes, *times)
    return dict(zip(COLUMNS, values, strict=True))


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write all rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


if __name__ == "__main__":
    main()
