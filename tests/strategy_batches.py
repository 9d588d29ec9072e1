"""Small batches of strategies, and every sequence that a model could write."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import fields

import torch

from models.strategy import EXAMPLE_FEATURES, StrategyBatch
from models.strategy.tokens import EOS, FIRST_KC, PAD

# What grows when strategies get longer.
PADDED = ("tokens", "examples")


def random_strategies(number: int, length: int, num_kcs: int, random: torch.Generator) -> torch.Tensor:
    """Return strategies of 1 to ``length`` KCs that end and are padded. Shape ``(number, length + 1)``."""
    tokens = torch.randint(FIRST_KC, FIRST_KC + num_kcs, (number, length + 1), generator=random)
    lengths = torch.randint(1, length + 1, (number, 1), generator=random)
    place = torch.arange(length + 1)
    return tokens.where(place < lengths, torch.where(place == lengths, EOS, PAD))


def strategy_batch(
    batch: int = 4,
    length: int = 6,
    *,
    num_kcs: int = 7,
    num_examples: int = 3,
    vector_size: int = 5,
    seed: int = 0,
) -> StrategyBatch:
    """Random attempts; one follows an example, one has none, one may not emit every KC."""
    random = torch.Generator().manual_seed(seed)
    tokens = random_strategies(batch, length, num_kcs, random)
    examples = torch.stack([random_strategies(num_examples, length, num_kcs, random) for _ in range(batch)])
    allowed = torch.ones(batch, FIRST_KC + num_kcs, dtype=torch.bool)
    if num_examples:
        examples[0, 0] = tokens[0]
        examples[1] = PAD
        allowed[2, FIRST_KC] = False
        allowed[2, tokens[2]] = True
    vectors = torch.nn.functional.normalize(torch.randn(3, batch, vector_size, generator=random), dim=-1)
    return StrategyBatch(
        student_vectors=vectors[0],
        section_vectors=vectors[1],
        problem_vectors=vectors[2],
        tokens=tokens,
        allowed=allowed,
        examples=examples,
        example_features=torch.randn(batch, num_examples, len(EXAMPLE_FEATURES), generator=random)
        * (examples[..., :1] != PAD),
        student_mastery=torch.rand(batch, num_kcs, generator=random),
    )


def pad_strategies(batch: StrategyBatch, steps: int) -> StrategyBatch:
    """Return the batch with more padding on the right of strategies and examples."""
    values = {field.name: getattr(batch, field.name) for field in fields(batch)}
    for name in PADDED:
        values[name] = torch.nn.functional.pad(values[name], (0, steps), value=PAD)
    return StrategyBatch(**values)


def every_strategy(num_kcs: int, longest: int) -> Iterator[list[int]]:
    """Yield the tokens of all strategies of at most ``longest`` KCs, without the end token."""
    for length in range(longest + 1):
        for kcs in itertools.product(range(FIRST_KC, FIRST_KC + num_kcs), repeat=length):
            yield list(kcs)
