"""The hash that selects students."""

from __future__ import annotations

import hashlib

import numpy as np

from edpipe.sources.subset import student_hash


def test_hash_is_the_documented_one():
    expected = int(hashlib.md5(b"subset:u1").hexdigest()[:8], 16) / 2**32
    assert student_hash(["u1"]).tolist() == [expected]


def test_hash_depends_on_the_id_alone():
    everyone = student_hash(f"u{index}" for index in range(1000))
    assert student_hash(["u7"])[0] == everyone[7]
    assert student_hash(["u7"], "other")[0] != everyone[7]


def test_hash_is_uniform():
    hashes = student_hash(f"u{index}" for index in range(20_000))
    counts, _ = np.histogram(hashes, bins=10, range=(0, 1))
    assert abs(counts - 2_000).max() < 200
