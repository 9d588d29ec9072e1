# SPDX-License-Identifier: Apache-2.0
"""What a strategy predictor is told about several problem attempts."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from models.strategy.tokens import FIRST_KC

# What is known of an example besides its KCs, in the order of the last axis of ``example_features``.
# Shares are logarithms of shares of attempts, smoothed; "alike" counts students by how alike they are.
# "named" shares weigh attempts in the section by how like the names of the problems are, and
# "log_named_attempts" is the logarithm of how many equal ones say as much.
# "preference" is how much more than others students alike use its KCs, a logarithm.
EXAMPLE_FEATURES = (
    "problem_share",
    "section_share",
    "problem_share_alike",
    "section_share_alike",
    "is_same_problem",
    "log_problem_attempts",
    "preference",
    "named_share",
    "named_share_alike",
    "log_named_attempts",
)


@dataclass(frozen=True, slots=True, eq=False)
class StrategyBatch:
    """Problem attempts: who meets what, the strategy followed, and strategies seen in training.

    Attributes
    ----------
    student_vectors, section_vectors, problem_vectors
        Embeddings made elsewhere, float, each of length 1 or zeros. Shape ``(batch, size)`` each.
    tokens
        Strategies to predict, int64: tokens of KCs, the end token, then padding. Shape ``(batch, length)``.
    allowed
        True for the KCs that may occur; all true where nothing is known. Shape ``(batch, num_tokens)``.
    examples
        Strategies seen in training in the section, those at problems with like names first, no two alike;
        tokens that end like ``tokens``, only padding where there are fewer.
        Shape ``(batch, num_examples, example_length)``.
    example_features
        What :data:`EXAMPLE_FEATURES` says of each example; 0 at padding.
        Shape ``(batch, num_examples, len(EXAMPLE_FEATURES))``.
    student_mastery
        Mastery of each KC in [0, 1] before the attempt, float. Shape ``(batch, num_tokens - FIRST_KC)``.
    """

    student_vectors: Tensor
    section_vectors: Tensor
    problem_vectors: Tensor
    tokens: Tensor
    allowed: Tensor
    examples: Tensor
    example_features: Tensor
    student_mastery: Tensor

    def __post_init__(self) -> None:
        if self.tokens.ndim != 2:
            raise ValueError(f"tokens must have shape (batch, length); got {tuple(self.tokens.shape)}.")
        batch = self.tokens.shape[0]
        vectors = self.student_vectors.shape
        if len(vectors) != 2 or vectors[0] != batch:
            raise ValueError(f"student_vectors must have shape ({batch}, size); got {tuple(vectors)}.")
        if self.allowed.ndim != 2 or self.allowed.shape[0] != batch or self.allowed.dtype != torch.bool:
            found = f"{self.allowed.dtype} {tuple(self.allowed.shape)}"
            raise ValueError(f"allowed must be boolean of shape ({batch}, num_tokens); got {found}.")
        if self.examples.ndim != 3 or self.examples.shape[0] != batch:
            found = str(tuple(self.examples.shape))
            raise ValueError(f"examples must have shape ({batch}, num_examples, length); got {found}.")
        expected = {
            "section_vectors": vectors,
            "problem_vectors": vectors,
            "example_features": (*self.examples.shape[:2], len(EXAMPLE_FEATURES)),
            "student_mastery": (batch, self.allowed.shape[1] - FIRST_KC),
        }
        for name, shape in expected.items():
            found_shape = tuple(getattr(self, name).shape)
            if found_shape != tuple(shape):
                raise ValueError(f"{name} must have shape {tuple(shape)}; got {found_shape}.")

    def __len__(self) -> int:
        """Return the number of attempts."""
        return int(self.tokens.shape[0])

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> StrategyBatch:
        """Return the same batch on ``device``."""
        moved = {
            field.name: getattr(self, field.name).to(device, non_blocking=non_blocking)
            for field in fields(self)
        }
        return StrategyBatch(**moved)

    def rows(self, index: Tensor | slice) -> StrategyBatch:
        """Return the attempts that ``index`` selects, in its order."""
        return StrategyBatch(**{field.name: getattr(self, field.name)[index] for field in fields(self)})
