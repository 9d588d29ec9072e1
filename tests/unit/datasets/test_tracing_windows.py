import numpy as np
import pytest

from edpipe.datasets.windows import WindowSampler, cut_windows


def test_a_short_history_is_one_window():
    windows = cut_windows(np.array([0, 3, 5]), np.array([0, 1]), length=4, overlap=2)
    assert windows.tolist() == [[0, 0, 3], [3, 3, 5]]


def test_later_windows_begin_with_history_that_is_not_scored():
    windows = cut_windows(np.array([10, 20]), np.array([0]), length=4, overlap=2)
    assert windows.tolist() == [[10, 10, 14], [12, 14, 16], [14, 16, 18], [16, 18, 20]]


def test_students_without_steps_have_no_window():
    assert len(cut_windows(np.array([0, 0, 2]), np.array([0]), length=4)) == 0


def test_overlap_must_be_shorter_than_the_window():
    with pytest.raises(ValueError, match="overlap must lie in 0 to 3; got 4"):
        cut_windows(np.array([0, 3]), np.array([0]), length=4, overlap=4)


def test_each_epoch_visits_every_window_once_in_another_order():
    sampler = WindowSampler(np.arange(1, 101), 8, seed=3)
    orders = []
    for epoch in (0, 1):
        sampler.set_epoch(epoch)
        orders.append(np.concatenate(list(sampler)))
        assert sorted(orders[-1]) == list(range(100))
    assert not np.array_equal(*orders)


def test_the_order_depends_on_seed_and_epoch_alone():
    first, second = (WindowSampler(np.arange(1, 101), 8, seed=3) for _ in range(2))
    list(first)
    for sampler in (first, second):
        sampler.set_epoch(5)
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_batches_hold_windows_of_like_length():
    lengths = np.random.default_rng(0).integers(1, 200, 2048)
    padded = sum(len(batch) * lengths[batch].max() for batch in WindowSampler(lengths, 32, seed=0))
    assert padded < 1.15 * lengths.sum()


def test_processes_share_the_batches_and_take_equally_many():
    samplers = [WindowSampler(np.arange(1, 51), 8, seed=3, rank=rank, num_ranks=2) for rank in range(2)]
    batches = [list(sampler) for sampler in samplers]
    assert [len(part) for part in batches] == [len(sampler) for sampler in samplers] == [4, 4]
    assert set(np.concatenate(batches[0] + batches[1])) == set(range(50))


def test_batch_size_must_be_positive():
    with pytest.raises(ValueError, match="batch_size must be at least 1; got 0"):
        WindowSampler(np.arange(3), 0, seed=None)
