"""How long a logged model takes to answer: a fixed batch, on one thread, without any server."""

from __future__ import annotations

import importlib
import platform
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from edpipe.errors import EdpipeError

if TYPE_CHECKING:
    import pandas as pd

# The example of the input, asked for so many students or series at once.
NUM_SUBJECTS = 16
MOST_RUNS = 5
ENOUGH_SECONDS = 0.3


def fixed_batch(example: pd.DataFrame, *, num_subjects: int = NUM_SUBJECTS) -> pd.DataFrame:
    """Return the example of an input for several subjects, each under a name of its own.

    The first column names the subject: a student or a series.
    """
    import pandas as pd

    subject = example.columns[0]
    copies = [
        example.assign(**{subject: example[subject].astype(str) + f" {number}"})
        for number in range(num_subjects)
    ]
    return pd.concat(copies, ignore_index=True)


def measured_milliseconds(
    code: Path, artifacts: Mapping[str, Path], model_config: Mapping[str, Any] | None, batch: pd.DataFrame
) -> float | None:
    """Load a model as MLflow would and return the least processor time that an answer takes, in milliseconds.

    On one thread that is the latency of a machine with nothing else to do, whatever runs beside it now.

    Parameters
    ----------
    code
        File that defines the model: a module of this package.
    artifacts
        Files that it needs, by the name under which it asks for them.
    model_config
        Values that it is given.
    batch
        What is asked.

    Returns
    -------
    float or None
        None of a model that cannot be asked, such as one that draws new noise for each answer.
    """
    import torch
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # ships no types

    module = importlib.import_module(f"edpipe.tracking.{code.stem}")
    model = next(
        kind
        for kind in vars(module).values()
        if isinstance(kind, type) and kind.__module__ == module.__name__
    )()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            context = SimpleNamespace(
                artifacts={name: str(path) for name, path in artifacts.items()}, model_config=model_config
            )
            model.load_context(context)
            return 1000 * least_seconds(lambda: model.predict(None, batch))
    except EdpipeError:
        return None
    finally:
        torch.set_num_threads(threads)


def least_seconds(answer: Callable[[], object]) -> float:
    """Return the least processor time of a few calls, the first, which fills caches, not counted."""
    answer()
    found: list[float] = []
    began = time.monotonic()
    while not found or (len(found) < MOST_RUNS and time.monotonic() - began < ENOUGH_SECONDS):
        start = time.process_time()
        answer()
        found.append(time.process_time() - start)
    return min(found)


def machine() -> str:
    """Return the kind of this machine's processor: times of two kinds are not compared."""
    path = Path("/proc/cpuinfo")
    if path.exists():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
