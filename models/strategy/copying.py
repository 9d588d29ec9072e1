# SPDX-License-Identifier: Apache-2.0
"""Copying: of whole examples, whose chance grows while they agree, and of single tokens out of them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.strategy.tokens import BOS, NEVER_EMITTED, PAD, shift_right

# Same token before, same two before, same place, same from the beginning; logarithm of the example's chance.
NUM_RELATIONS = 5


@dataclass(frozen=True, slots=True, eq=False)
class Written:
    """What has been written when the next token is asked for, at several places or by several beams.

    Attributes
    ----------
    last, before_last
        The last two tokens; the start token where there is none. Shape ``(batch, asked)``.
    place
        Number of tokens written. Shape ``(batch, asked)``.
    agrees
        Whether an example begins with all that was written. Shape ``(batch, asked, num_examples)``.
    """

    last: Tensor
    before_last: Tensor
    place: Tensor
    agrees: Tensor


def written_before(tokens: Tensor, examples: Tensor, usable: Tensor) -> Written:
    """Return what stands before each of the ``tokens``, ``(batch, length)``, beside the examples."""
    batch, length = tokens.shape
    seen = shift_right(tokens)
    aligned = pad_to(examples, length)
    same = (aligned == tokens.unsqueeze(1)).long().cumprod(dim=-1).bool()
    first = usable.unsqueeze(-1)
    agrees = torch.cat([first, same[..., :-1] & first], dim=-1).transpose(1, 2)
    place = torch.arange(length, device=tokens.device).expand(batch, length)
    before_last = torch.cat([torch.full_like(seen[:, :1], BOS), seen[:, :-1]], dim=1)
    return Written(seen, before_last, place, agrees)


def next_in_examples(examples: Tensor, place: Tensor) -> Tensor:
    """Return the token of each example at each place, padding beyond its end.

    Shapes: ``examples`` ``(batch, num_examples, example_length)``, ``place`` ``(batch, asked)``; returns
    ``(batch, asked, num_examples)``.
    """
    length = examples.shape[-1]
    index = place.clamp(max=length).unsqueeze(1).expand(-1, examples.shape[1], -1)
    return pad_to(examples, length + 1).gather(2, index).transpose(1, 2)


def pad_to(examples: Tensor, length: int) -> Tensor:
    """Return the first ``length`` tokens of each example, padded on the right. Shape ``(…, length)``."""
    missing = max(0, length - examples.shape[-1])
    return nn.functional.pad(examples, (0, missing), value=PAD)[..., :length]


def mix(prior: Tensor, agrees: Tensor, written_log_prob: Tensor) -> Tensor:
    r"""Return what each source's chance has become after what was written.

    A strategy comes whole from an example, or is written freely: after a prefix the chance of a source is
    its prior times the chance it gave the prefix, over the sum of all. Their mixture is an exact model of
    whole strategies.

    Parameters
    ----------
    prior
        Logarithm of the chance of each example and of free writing. Shape ``(batch, num_examples + 1)``.
    agrees
        Shape ``(batch, asked, num_examples)``.
    written_log_prob
        Logarithm of the chance that free writing gave the prefix, finite. Shape ``(batch, asked)``.

    Returns
    -------
    Tensor
        Logarithms. Shape ``(batch, asked, num_examples + 1)``.
    """
    copied = prior[:, None, :-1].expand_as(agrees).masked_fill(~agrees, -torch.inf)
    written = (prior[:, None, -1] + written_log_prob).unsqueeze(-1)
    return torch.cat([copied, written], dim=-1).log_softmax(dim=-1)


class TokenPointer(nn.Module):
    """Point at a token of an example to copy it, by what stands before it and where.

    Parameters
    ----------
    size
        Width of hidden states and token embeddings.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.query = nn.Linear(size, size)
        self.key = nn.Linear(size, size)
        self.relation = nn.Parameter(torch.tensor([3.0, 1.0, 1.0, 1.0, 1.0]))
        self.gate = nn.Linear(size, 1)

    def keys(self, examples: Tensor, embedding: Tensor) -> Tensor:
        """Return a key of each token of the examples, made of the token before it.

        Shape ``(batch, num_examples, example_length, size)``.
        """
        keys: Tensor = self.key(embedding[shift_right(examples)])
        return keys

    def forward(
        self, hidden: Tensor, written: Written, examples: Tensor, keys: Tensor, prior: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return where to copy from, and the logit of copying rather than choosing freely.

        Parameters
        ----------
        hidden
            Shape ``(batch, asked, size)``.
        written
            What has been written.
        examples, keys
            Tokens and what :meth:`keys` made of them.
        prior
            Logarithm of the chance of each example, minus infinity where it is not usable.
            Shape ``(batch, num_examples)``.

        Returns
        -------
        tuple
            Weights of the tokens of all examples, which sum to 1, or to 0 where there is none,
            ``(batch, asked, num_examples * example_length)``; logits ``(batch, asked)``.
        """
        query = self.query(hidden)
        scores = torch.einsum("bqs,bels->bqel", query, keys).float() / query.shape[-1] ** 0.5
        before = shift_right(examples)
        start = torch.full_like(before[..., :1], BOS)
        earlier = torch.cat([start, before[..., :-1]], dim=-1)
        place = torch.arange(examples.shape[-1], device=examples.device)
        same_last = before.unsqueeze(1) == written.last[:, :, None, None]
        same_two = same_last & (earlier.unsqueeze(1) == written.before_last[:, :, None, None])
        same_place = (place == written.place[:, :, None, None]).expand_as(same_last)
        same_prefix = same_place & written.agrees.unsqueeze(-1)
        usable = prior > -torch.inf
        chance = prior.masked_fill(~usable, 0.0)[:, None, :, None].expand_as(scores)
        relations = torch.stack([same_last, same_two, same_place, same_prefix], dim=-1).float()
        scores = scores + relations @ self.relation[:-1] + self.relation[-1] * chance
        real = (usable.unsqueeze(-1) & (examples != PAD)).unsqueeze(1).expand_as(scores)
        weights = _softmax(scores.flatten(2), real.flatten(2))
        return weights, self.gate(hidden).squeeze(-1).float()


def _softmax(scores: Tensor, real: Tensor) -> Tensor:
    """Return the softmax over what is real, zeros where nothing is."""
    shifted = scores.masked_fill(~real, -torch.inf)
    top = shifted.amax(dim=-1, keepdim=True) if shifted.shape[-1] else shifted.new_zeros(1)
    weights = (scores - top.masked_fill(top == -torch.inf, 0.0).detach()).masked_fill(~real, -torch.inf).exp()
    total: Tensor = weights.sum(dim=-1, keepdim=True)
    return weights / total.clamp(min=torch.finfo(weights.dtype).tiny)


def place_of(columns: Tensor, num_tokens: int) -> Tensor:
    """Return the column of each token; one behind the last for tokens that have none.

    Shape ``(num_tokens,)``.
    """
    places = torch.full((num_tokens,), len(columns), device=columns.device)
    places[columns] = torch.arange(len(columns), device=columns.device)
    places[list(NEVER_EMITTED)] = len(columns)
    return places


def gather_tokens(weights: Tensor, places: Tensor, num_columns: int) -> Tensor:
    """Add up weights of equal tokens. Shape ``(batch, asked, num_columns)``.

    ``weights`` and ``places`` have shape ``(batch, asked, n)``; a place behind the last column is left out.
    """
    total = weights.new_zeros(*weights.shape[:2], num_columns + 1)
    return total.scatter_add(2, places, weights)[..., :num_columns]
