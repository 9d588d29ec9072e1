"""Processes that run jobs: one a core, started clean, and gone when their parent is gone."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from edpipe.errors import SourceError

T = TypeVar("T")


def num_workers(setting: int) -> int:
    """Return the number of processes: the setting, or one for each core this process may use."""
    return setting or len(os.sched_getaffinity(0))


def run_jobs(tasks: Sequence[Callable[[], T]], *, workers: int) -> Iterator[tuple[int, T]]:
    """Run tasks and yield ``(index, result)`` as they finish, in any order.

    At most ``workers + 1`` tasks are handed out at a time, so memory does not grow with their
    number. With one worker they run in this process, in order.

    Raises
    ------
    SourceError
        If a worker process died.
    """
    if min(workers, len(tasks)) <= 1:
        yield from ((index, task()) for index, task in enumerate(tasks))
        return
    pool = _start(min(workers, len(tasks)))
    running: dict[Future[T], int] = {}
    waiting = iter(enumerate(tasks))
    try:
        while True:
            for index, task in waiting:
                running[pool.submit(task)] = index
                if len(running) > workers:
                    break
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(future), future.result()
    except BrokenProcessPool as error:
        raise SourceError(
            "A process that reads the source ended before its work was done.",
            found=str(error),
            expected="enough memory for every process, and a script guarded by `if __name__ == '__main__':`",
            next_step="Run the same command again, with fewer processes: `EDPIPE_INGEST__WORKERS=1`.",
            state="The earlier state still counts; finished shards are kept for the next run.",
        ) from error
    finally:
        # Not joined first: on an error or Ctrl-C the work in flight is of no use.
        processes = list((pool._processes or {}).values())
        if running:
            for process in processes:
                process.terminate()
        pool.shutdown(wait=True, cancel_futures=True)


def _start(workers: int) -> ProcessPoolExecutor:
    # Not forked: a fork of a process in which Polars has threads can hang.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_prepare_worker)


def _prepare_worker() -> None:
    # One process a core already. Polars reads this when it first needs a thread, which is later.
    os.environ["POLARS_MAX_THREADS"] = "1"
    # Ctrl-C reaches every process of the terminal; the parent alone answers it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        # A pool's workers would wait for ever on the queue of a parent that was killed.
        threading.Thread(target=_exit_with, args=(parent.sentinel,), daemon=True).start()


def _exit_with(sentinel: int) -> None:
    multiprocessing.connection.wait([sentinel])
    os._exit(1)
