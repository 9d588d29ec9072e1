# SPDX-License-Identifier: Apache-2.0
"""What a scenario asks of a path: its total, its peak, its end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

# From paths, shape ``(batch, num_samples, length)``, to which of them are allowed, ``(batch, num_samples)``.
Allows = Callable[[Tensor], Tensor]
Statistic = Literal["total", "mean", "maximum", "minimum", "last"]
Relation = Literal["at_least", "at_most", "equals"]


@dataclass(frozen=True, slots=True, eq=False)
class Constraint:
    """A bound on one number of a path; called with paths, it says which of them are allowed.

    Attributes
    ----------
    statistic
        The number: of the steps from ``first`` up to but not including ``last``.
    relation
        ``equals`` allows numbers within ``tolerance``.
    value
        In the unit of the paths; one for all windows, or one for each, shape ``(batch,)``.
    first, last
        Steps of the path; to its end where ``last`` is None.
    tolerance
        How far off is still allowed, at least 0, in the unit of the paths; above 0 for ``equals``.
    """

    statistic: Statistic
    relation: Relation
    value: float | Tensor
    first: int = 0
    last: int | None = None
    tolerance: float = 0.0

    def __post_init__(self) -> None:
        for name, kinds in (("statistic", Statistic), ("relation", Relation)):
            found = getattr(self, name)
            if found not in get_args(kinds):
                raise ValueError(f"{name} must be one of {', '.join(get_args(kinds))}; got {found!r}.")
        if not self.tolerance >= 0 or (self.relation == "equals" and self.tolerance == 0):
            raise ValueError(
                "tolerance must be at least 0, and above 0 where numbers are to be equal; "
                f"got {self.tolerance}."
            )

    def measure(self, paths: Tensor) -> Tensor:
        """Return the number that is bounded. Shape ``(batch, num_samples)``.

        Raises
        ------
        ValueError
            If no step is left of the paths.
        """
        part = paths[..., self.first : self.last]
        if part.shape[-1] == 0:
            found = f"{self.first} to {self.last} of {paths.shape[-1]}"
            raise ValueError(f"a constraint needs at least one step; got {found}.")
        if self.statistic == "total":
            return part.sum(-1)
        if self.statistic == "mean":
            return part.mean(-1)
        if self.statistic == "maximum":
            return part.amax(-1)
        if self.statistic == "minimum":
            return part.amin(-1)
        return part[..., -1]

    def excess(self, paths: Tensor) -> Tensor:
        """Return how far each path is from what is asked, 0 where met. Shape ``(batch, num_samples)``."""
        value = torch.as_tensor(self.value, dtype=paths.dtype, device=paths.device)
        away = self.measure(paths) - value.unsqueeze(-1)
        if self.relation == "at_least":
            return (-away).clamp(min=0)
        if self.relation == "at_most":
            return away.clamp(min=0)
        return away.abs()

    def __call__(self, paths: Tensor) -> Tensor:
        """Return which paths are allowed. Shape ``(batch, num_samples)``."""
        return self.excess(paths) <= self.tolerance

    def log_weights(self, paths: Tensor) -> Tensor:
        """Return log-weights for a soft constraint: normal errors, the tolerance their standard deviation.

        At most 0. Shape ``(batch, num_samples)``.

        Raises
        ------
        ValueError
            If the tolerance is 0.
        """
        if self.tolerance == 0:
            raise ValueError("a soft constraint needs a tolerance above 0.")
        return -(self.excess(paths) / self.tolerance).square() / 2


def every(*constraints: Allows) -> Allows:
    """Return the constraint that all of several are met."""
    if not constraints:
        raise ValueError("every needs at least one constraint.")
    return lambda paths: torch.stack([allows(paths) for allows in constraints]).all(0)
