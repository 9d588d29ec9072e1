import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edpipe.datasets.windows import cut_windows


@given(st.lists(st.integers(0, 40), min_size=1, max_size=8), st.integers(1, 12), st.data())
def test_every_step_is_scored_once_within_its_student_and_with_enough_history(lengths, length, data):
    overlap = data.draw(st.integers(0, length - 1))
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    windows = cut_windows(offsets, np.arange(len(lengths)), length=length, overlap=overlap)
    scored = [step for _, first, end in windows for step in range(first, end)]
    assert scored == list(range(offsets[-1]))
    for start, first, end in windows:
        owner = np.searchsorted(offsets, start, side="right") - 1
        assert offsets[owner] <= start <= first < end <= offsets[owner + 1]
        assert end - start <= length
        assert start == offsets[owner] or first - start == overlap
