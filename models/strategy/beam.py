# SPDX-License-Identifier: Apache-2.0
"""Beam search over token sequences of several rows at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from models.strategy.tokens import BOS, EOS, PAD

# Tensors of a decoder: what is fixed for a row, (rows, …), and what each beam knows, (rows, beams, …).
Memory = tuple[Tensor, ...]
State = tuple[Tensor, ...]
Step = Callable[[Tensor, Memory, State], tuple[Tensor, State]]

# Rows that are done are thrown out when they are at least this share, since that copies the others.
SHARE_DONE = 0.25


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """The best strategy found for each row.

    Attributes
    ----------
    tokens
        Tokens of KCs, then padding; the end token is left out. Shape ``(rows, max_length)``.
    lengths
        Number of KCs. Shape ``(rows,)``.
    log_probs
        Log-probability of the strategy, its end included. Shape ``(rows,)``.
    """

    tokens: Tensor
    lengths: Tensor
    log_probs: Tensor


@dataclass(slots=True)
class _Beams:
    """Strategies that go on. ``rows`` says to which row of the result each line belongs."""

    rows: Tensor  # (active,)
    history: Tensor  # (active, beams, length)
    log_probs: Tensor  # (active, beams); minus infinity is an empty place
    memory: Memory
    state: State

    def keep(self, chosen: Tensor) -> None:
        """Go on with the chosen rows only."""
        self.rows, self.history, self.log_probs = (
            self.rows[chosen],
            self.history[chosen],
            self.log_probs[chosen],
        )
        self.memory = tuple(value[chosen] for value in self.memory)
        self.state = tuple(value[chosen] for value in self.state)


def beam_search(
    step: Step,
    memory: Memory,
    state: State,
    columns: Tensor,
    *,
    beam_size: int = 5,
    max_length: int = 50,
    length_penalty: float = 0.7,
) -> Decoded:
    r"""Find the strategy with the highest score, :math:`\log p / n^a`, with a limited number of beams.

    :math:`n` counts the KCs and the end token, :math:`a` is ``length_penalty``. After ``max_length`` KCs only
    the end may follow, so each strategy returned is a whole one and its log-probability is that of the model.
    In a step the ``beam_size`` most probable continuations of all beams survive; one that ends leaves the
    beam. A row is done when no beam can overtake the best strategy that has ended. One beam is greedy
    decoding; at least as many beams as there are prefixes is exhaustive search.

    Parameters
    ----------
    step
        Takes the last tokens ``(rows, beams)``, memory and state; returns the log-probabilities of the next
        token ``(rows, beams, len(columns))``, minus infinity where impossible, and the next state.
    memory, state
        Of each row, with one beam in the state: shapes ``(rows, …)`` and ``(rows, 1, …)``.
    columns
        Tokens that the columns of the log-probabilities stand for, ascending; the end token is among them.
    beam_size
        Number of beams, at least 1.
    max_length
        Most KCs of a strategy, at least 1.
    length_penalty
        Exponent :math:`a`, at least 0; 0 compares plain log-probabilities.

    Raises
    ------
    ValueError
        If a number is out of range or the end token is not among the columns.
    """
    if beam_size < 1 or max_length < 1 or length_penalty < 0:
        found = f"{beam_size}, {max_length}, {length_penalty}"
        raise ValueError(
            f"beam_size and max_length must be positive, length_penalty at least 0; got {found}."
        )
    if not bool((columns == EOS).any()):
        raise ValueError("the end token must be among the columns.")
    rows, device = state[0].shape[0], columns.device
    end = int((columns == EOS).nonzero()[0, 0])
    beams = _Beams(
        torch.arange(rows, device=device),
        torch.full((rows, 1, 1), BOS, device=device),
        torch.zeros(rows, 1, device=device),
        memory,
        state,
    )
    best = torch.full((rows,), -torch.inf, device=device)
    result = Decoded(
        torch.full((rows, max_length), PAD, device=device),
        torch.zeros(rows, dtype=torch.long, device=device),
        torch.full((rows,), -torch.inf, device=device),
    )
    for length in range(max_length + 1):
        if not len(beams.rows):
            break
        next_log_probs, beams.state = step(beams.history[..., -1], beams.memory, beams.state)
        log_probs = beams.log_probs.unsqueeze(-1) + next_log_probs
        if length == max_length:
            log_probs = log_probs[..., end : end + 1]
            _finish(beams, log_probs.squeeze(-1), beams.history, length, length_penalty, best, result)
            break
        ended = _extend(beams, log_probs, columns, end, beam_size)
        _finish(beams, ended, beams.history[..., :-1], length, length_penalty, best, result)
        # Log-probabilities only fall, so this is the best score that a beam may still reach.
        reachable = beams.log_probs.max(dim=1).values / (max_length + 1) ** length_penalty
        going = reachable > best[beams.rows]
        if int(going.sum()) <= (1 - SHARE_DONE) * len(going):
            beams.keep(going.nonzero().squeeze(1))
    return result


def _extend(beams: _Beams, log_probs: Tensor, columns: Tensor, end: int, beam_size: int) -> Tensor:
    """Replace the beams by their best continuations; return the log-probabilities of those that ended."""
    width = log_probs.shape[-1]
    values, places = log_probs.flatten(1).topk(min(beam_size, log_probs.shape[1] * width), dim=1)
    parents, column = places // width, places % width
    line = torch.arange(len(values), device=values.device).unsqueeze(1)
    beams.history = torch.cat([beams.history[line, parents], columns[column].unsqueeze(-1)], dim=-1)
    beams.state = tuple(value[line, parents] for value in beams.state)
    beams.log_probs = values.masked_fill(column == end, -torch.inf)
    return values.masked_fill(column != end, -torch.inf)


def _finish(
    beams: _Beams, ended: Tensor, history: Tensor, length: int, penalty: float, best: Tensor, result: Decoded
) -> None:
    """Note strategies of ``length`` KCs that ended, ``(active, beams)``, where they are the best so far."""
    log_probs, beam = ended.max(dim=1)
    score = log_probs / (length + 1) ** penalty
    better = (score > best[beams.rows]).nonzero().squeeze(1)
    rows = beams.rows[better]
    best[rows] = score[better]
    result.log_probs[rows] = log_probs[better]
    result.lengths[rows] = length
    result.tokens[rows] = PAD
    result.tokens[rows, :length] = history[better, beam[better], 1:]
