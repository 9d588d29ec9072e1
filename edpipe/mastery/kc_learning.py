"""What an attempt is expected to teach, by Bayesian knowledge tracing: its chance to learn is explicit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edpipe.mastery import bkt_kernel
from edpipe.mastery.bkt_fit import PARAMETERS, fit_parameters
from edpipe.mastery.bkt_kernel import Float, Int


@dataclass(frozen=True, slots=True, eq=False)
class ItemKCs:
    """KCs of items as pairs.

    Attributes
    ----------
    num_items
        Number of items.
    item, kc
        Row of the item and code of the KC of each pair. Shape ``(num_pairs,)``.
    """

    num_items: int
    item: Int
    kc: Int

    @classmethod
    def of(cls, sets: Sequence[Sequence[str]], kc_ids: Sequence[str]) -> Self:
        """Look up the KCs of each item; names that are no KC are left out."""
        code = {kc: number for number, kc in enumerate(kc_ids)}
        pairs = [(row, code[kc]) for row, kcs in enumerate(sets) for kc in kcs if kc in code]
        item, kc = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
        return cls(len(sets), item, kc)

    def total(self, values: Float) -> Float:
        """Return the sum over the KCs of each item of a value a KC. Shape ``(num_items,)``."""
        found = np.bincount(self.item, weights=values[self.kc], minlength=self.num_items)
        return found.astype(np.float64)


@dataclass(frozen=True, eq=False)
class KCLearning:
    r"""How each KC is learnt: four parameters, and what follows from them for a student.

    With :math:`m_k` the chance that a student knows KC :math:`k` and :math:`l_k` the chance to learn it at an
    attempt, an attempt at item :math:`i` is expected to teach

    .. math:: g_i = \sum_{k \in K_i} (1 - m_k) \, l_k

    KCs. The answer also moves :math:`m_k` by what it tells; on average over right and wrong, by their
    chances, that is nothing, and what remains is the learning. Each KC of an item is practised as if it stood
    alone.

    Attributes
    ----------
    kc_ids
        Published ids, by code.
    parameters
        Prior, learn, guess, slip, each in (0, 1). Shape ``(num_kcs, 4)``.
    """

    kc_ids: tuple[str, ...]
    parameters: Float

    @classmethod
    def fit(cls, answers: pl.DataFrame, kc_ids: Sequence[str]) -> Self:
        """Fit the parameters; a KC without an answer has those of all KCs together.

        Parameters
        ----------
        answers
            ``kc_id, student_key, is_correct``, one row an answer and KC; those of a student in order of time.
        kc_ids
            Published ids.
        """
        rows = _coded(answers, kc_ids).sort("kc", "student_key", maintain_order=True)
        kc, student = rows["kc"].to_numpy(), rows["student_key"].to_numpy()
        is_new = np.ones(len(rows), dtype=np.bool_)
        is_new[1:] = (kc[1:] != kc[:-1]) | (student[1:] != student[:-1])
        starts = np.append(np.flatnonzero(is_new), len(rows)).astype(np.int64)
        correct = rows["is_correct"].cast(pl.UInt8).to_numpy()
        return cls(tuple(kc_ids), fit_parameters(correct, starts, kc[starts[:-1]], len(kc_ids)))

    @cached_property
    def learn(self) -> Float:
        """Chance to learn each KC at an attempt. Shape ``(num_kcs,)``."""
        return self.parameters[:, PARAMETERS.index("learn")]

    def known(self, answers: pl.DataFrame) -> Float:
        """Return the chance that one student knows each KC after some answers. Shape ``(num_kcs,)``.

        Parameters
        ----------
        answers
            ``kc_id, is_correct`` in order of time.
        """
        rows = _coded(answers, self.kc_ids).sort("kc", maintain_order=True)
        known = self.parameters[:, PARAMETERS.index("prior")].copy()
        kcs, first = np.unique(rows["kc"].to_numpy(), return_index=True)
        starts = np.append(first, len(rows)).astype(np.int64)
        correct = rows["is_correct"].cast(pl.UInt8).to_numpy()
        known[kcs] = bkt_kernel.last_states(correct, starts, kcs, self.parameters)
        return known

    def gains(self, known: Float, items: ItemKCs) -> Float:
        """Return how many KCs an attempt at each item is expected to teach; 0 without KCs.

        Parameters
        ----------
        known
            From :meth:`known`.
        items
            Items.
        """
        return items.total((1 - known) * self.learn)

    def is_mastered(self, known: Float, items: ItemKCs, mastered_from: float) -> NDArray[np.bool_]:
        """Return for each item whether all of its KCs are known with this chance; False without KCs."""
        count = items.total(np.ones(len(known)))
        num_known = items.total((known >= mastered_from).astype(np.float64))
        is_known: NDArray[np.bool_] = (count > 0) & (num_known == count)
        return is_known


def _coded(answers: pl.DataFrame, kc_ids: Sequence[str]) -> pl.DataFrame:
    """Return the answers with ``kc``, the code of their KC; other KCs are left out."""
    code: Mapping[str, int] = {kc: number for number, kc in enumerate(kc_ids)}
    codes = pl.DataFrame(
        {"kc_id": list(code), "kc": list(code.values())}, schema={"kc_id": pl.String, "kc": pl.Int64}
    )
    return answers.join(codes, on="kc_id", how="inner", maintain_order="left")
