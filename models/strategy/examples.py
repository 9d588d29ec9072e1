# SPDX-License-Identifier: Apache-2.0
"""Which of the strategies seen in training this student will follow on this problem."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.strategy.batch import EXAMPLE_FEATURES, StrategyBatch
from models.strategy.tokens import EOS, FIRST_KC, PAD

# Mean and least mastery of the example's KCs, logarithm of their number.
NUM_OWN_FEATURES = 3
HIDDEN = 32
# Before any training, the share of what is written freely: about one in twenty.
FIRST_WRITING_SCORE = -3.0


class ExampleScorer(nn.Module):
    """Chances of the examples and of a strategy that is none of them.

    A score is read from what holds for examples of any problem (how many followed it, here and in the
    section, and among students alike; how well the student masters its KCs), each against the best of
    the same problem, and from the vectors of student, section and problem beside the example's KCs. Before
    training it is the share among students alike, at problems with like names above all, so learning starts
    from a lookup.

    Parameters
    ----------
    size
        Width of context and token embeddings.
    dropout
        Share of activations dropped, in [0, 1).
    """

    def __init__(self, size: int, dropout: float) -> None:
        super().__init__()
        num_features = 2 * (len(EXAMPLE_FEATURES) + NUM_OWN_FEATURES)
        self.direct = nn.Linear(num_features, 1, bias=False)
        self.hidden = nn.Linear(num_features, HIDDEN)
        self.output = nn.Linear(HIDDEN, 1, bias=False)
        self.context = nn.Linear(size, HIDDEN, bias=False)
        self.content = nn.Linear(size, HIDDEN, bias=False)
        self.written = nn.Linear(num_features, 1)
        self.dropout = nn.Dropout(dropout)
        with torch.no_grad():
            self.direct.weight.zero_()
            self.direct.weight[0, EXAMPLE_FEATURES.index("named_share_alike")] = 1.0
            self.output.weight.zero_()
            self.content.weight.zero_()
            self.written.weight.zero_()
            self.written.bias.fill_(FIRST_WRITING_SCORE)

    def forward(self, batch: StrategyBatch, usable: Tensor, context: Tensor, embedding: Tensor) -> Tensor:
        """Return the logarithm of each example's chance, and at last of free writing.

        Parameters
        ----------
        batch
            Attempts.
        usable
            True where an example stands that may be followed. Shape ``(batch, num_examples)``.
        context
            What the vectors and the mastery say. Shape ``(batch, size)``.
        embedding
            Embeddings of all tokens. Shape ``(num_tokens, size)``.

        Returns
        -------
        Tensor
            Shape ``(batch, num_examples + 1)``; minus infinity where an example is not usable.
        """
        if not usable.shape[1]:
            return context.new_zeros(len(batch), 1)
        is_kc = batch.examples >= FIRST_KC
        number = is_kc.sum(-1)
        features = torch.cat([batch.example_features, _own_features(batch, is_kc, number)], dim=-1)
        features = features.masked_fill(~usable.unsqueeze(-1), 0.0)
        best = features.masked_fill(~usable.unsqueeze(-1), -torch.inf).amax(dim=1, keepdim=True)
        best = best.masked_fill(best == -torch.inf, 0.0)
        described = torch.cat([features, features - best], dim=-1)
        weight = is_kc.to(embedding.dtype) / number.clamp(min=1).unsqueeze(-1)
        content = torch.einsum("bel,bels->bes", weight, embedding[batch.examples])
        fit = (self.content(content) * self.context(context).unsqueeze(1)).sum(-1) / HIDDEN**0.5
        inner = self.dropout(nn.functional.gelu(self.hidden(described)))
        scores = (self.direct(described) + self.output(inner)).squeeze(-1) + fit
        scores = scores.float().masked_fill(~usable, -torch.inf)
        # Free writing is weighed against how much the examples weigh in all.
        mean = features.sum(dim=1) / usable.sum(dim=1, keepdim=True).clamp(min=1)
        written = self.written(torch.cat([best.squeeze(1), mean], dim=-1)).float()
        weight_of_all = scores.logsumexp(dim=1, keepdim=True)
        written = written + weight_of_all.masked_fill(weight_of_all == -torch.inf, 0.0)
        return torch.cat([scores, written], dim=1).log_softmax(dim=1)


def usable_examples(batch: StrategyBatch) -> Tensor:
    """Return which examples hold only what may be emitted. Shape ``(batch, num_examples)``."""
    rows = torch.arange(len(batch), device=batch.tokens.device).view(-1, 1, 1)
    is_fine = (batch.allowed[rows, batch.examples] & (batch.examples >= FIRST_KC)) | (
        (batch.examples == EOS) | (batch.examples == PAD)
    )
    return is_fine.all(dim=-1) & (batch.examples != PAD).any(dim=-1)


def _own_features(batch: StrategyBatch, is_kc: Tensor, number: Tensor) -> Tensor:
    """Return what the student masters of each example, and its length. Shape ``(batch, examples, 3)``."""
    rows = torch.arange(len(batch), device=batch.tokens.device).view(-1, 1, 1)
    mastery = batch.student_mastery[rows, (batch.examples - FIRST_KC).clamp(min=0)]
    mean = (mastery * is_kc).sum(-1) / number.clamp(min=1)
    least = mastery.masked_fill(~is_kc, 1.0).flatten(2).amin(-1) if mastery.shape[-1] else mean
    return torch.stack([mean, least, number.float().log1p()], dim=-1)
