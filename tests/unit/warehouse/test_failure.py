"""What a failed build says."""

from __future__ import annotations

from typing import Any, cast

import pytest

from edpipe.warehouse.failure import build_error


@pytest.mark.parametrize(
    ("cause", "told"),
    [
        ("Out of Memory Error: could not allocate block", "memory_limit_mib"),
        ("Binder Error: no column x", "SQL model"),
    ],
)
def test_a_relation_that_needs_too_much_memory_is_no_broken_promise(cause, told):
    error = build_error(cast("Any", None), [RuntimeError(cause)])
    assert told in error.next_step
    assert cause in error.found
