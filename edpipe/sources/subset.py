"""Reproducible subsets of students, the same on every machine whatever files are present."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

SUBSET_SALT = "subset"


def student_hash(student_ids: Iterable[str], salt: str = SUBSET_SALT) -> npt.NDArray[np.float64]:
    """Hash student ids to numbers that are uniform in [0, 1).

    The first 8 hexadecimal digits of ``md5(salt ':' student_id)`` divided by ``2**32``; SQL makes the
    split of students with the same function and another salt.

    Parameters
    ----------
    student_ids
        Ids as published, such as ``u1``.
    salt
        Word that makes this use independent of the others.
    """
    prefix = f"{salt}:".encode()
    digests = b"".join(
        hashlib.md5(prefix + student_id.encode(), usedforsecurity=False).digest()[:4]
        for student_id in student_ids
    )
    return np.frombuffer(digests, dtype=">u4").astype(np.float64) / 2.0**32
