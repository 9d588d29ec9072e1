"""Tasks in other processes: all done, failures handed over, a dead worker named."""

from __future__ import annotations

import os
from functools import partial

import polars as pl
import pytest

from edpipe.errors import SourceError
from edpipe.sources.workers import num_workers, run_jobs


def square(number: int) -> int:
    return number * number


def fail() -> int:
    raise SourceError("A source is broken.", where="u1.csv")


@pytest.mark.parametrize("workers", [1, 2])
def test_every_task_is_done_once(workers):
    tasks = [partial(square, number) for number in range(9)]
    assert dict(run_jobs(tasks, workers=workers)) == {number: number**2 for number in range(9)}


@pytest.mark.parametrize("workers", [1, 2])
def test_error_of_a_task_arrives_as_it_is(workers):
    with pytest.raises(SourceError, match="broken") as caught:
        list(run_jobs([fail, partial(square, 2)], workers=workers))
    assert (caught.value.exit_code, caught.value.where) == (3, "u1.csv")


def test_worker_that_dies_is_a_clear_error():
    with pytest.raises(SourceError, match="ended before its work was done"):
        list(run_jobs([partial(os._exit, 9), partial(os._exit, 9)], workers=2))


def test_worker_uses_one_thread():
    threads = dict(run_jobs([pl.thread_pool_size] * 4, workers=2))
    assert set(threads.values()) == {1}


def test_number_of_workers_is_the_setting_or_one_a_core():
    assert num_workers(3) == 3
    assert num_workers(0) == len(os.sched_getaffinity(0))
