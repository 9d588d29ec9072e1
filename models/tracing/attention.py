# SPDX-License-Identifier: Apache-2.0
"""The attention tracer: every question looks back at the answers to similar ones."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from models.batches import PADDING, UNKNOWN, InteractionBatch
from models.layers import FeedForward, HistoryAttention, pair_features
from models.tracing.config import AttentionConfig
from models.tracing.embedding import ItemEmbedding
from models.tracing.tracer import KnowledgeTracer

NUM_MATCHES = 2  # same item, a KC in common
NUM_EVIDENCE = 3 * NUM_MATCHES  # right, wrong and their balance, for each relation


class _Past(NamedTuple):
    """What a set of questions may see of the history."""

    evidence: Tensor  # (batch, asked, NUM_EVIDENCE)
    pairs: Tensor  # (batch, NUM_MATCHES + 3, asked, 1 + length)


class _Block(nn.Module):
    """Attention to the answers, then a feed-forward layer."""

    def __init__(self, config: AttentionConfig) -> None:
        super().__init__()
        size = config.size
        self.norm = nn.LayerNorm(size)
        self.norm_answers = nn.LayerNorm(size)
        self.attention = HistoryAttention(size, config.num_heads, NUM_MATCHES)
        self.dropout = nn.Dropout(config.dropout)
        self.forward_layer = FeedForward(size, config.dropout)

    def forward(self, asked: Tensor, steps: Tensor, answers: Tensor, past: _Past) -> Tensor:
        """Return ``asked`` with what it found; ``steps`` are the history's own questions."""
        found = self.attention(
            self.norm(asked),
            self.norm(steps),
            self.norm_answers(steps + answers),
            past.pairs,
        )
        result: Tensor = self.forward_layer(asked + self.dropout(found))
        return result


class AttentionTracer(KnowledgeTracer):
    """Trace knowledge with attention from each question to the strictly earlier answers.

    One stream holds the questions; in every layer step ``t`` looks at steps before ``t``, with keys from
    their questions and values from their questions and answers, so no answer can reach its own step.
    Scores fall with distance at rates learned per head and rise where the item or a KC is the same; each
    question also carries the counts of right and wrong answers to its item and its KCs so far, which an
    average cannot express.

    References
    ----------
    Ghosh, Heffernan and Lan (2020), "Context-aware attentive knowledge tracing": questions as keys,
    decay with distance, difficulty as one number an item. Pavlik, Cen and Koedinger (2009), "Performance
    factors analysis": counts of right and wrong answers.
    """

    config: AttentionConfig

    def __init__(self, config: AttentionConfig) -> None:
        super().__init__(config)
        size = config.size
        self.items = ItemEmbedding(config.num_items, config.num_kcs, size, item_dropout=config.item_dropout)
        self.answer = nn.Embedding(2, size)
        self.timing = nn.Linear(2, size)
        self.lag = nn.Linear(1, size)
        self.evidence = nn.Linear(NUM_EVIDENCE, size)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(_Block(config) for _ in range(config.num_layers))
        self.norm = nn.LayerNorm(size)
        self.output = nn.Sequential(
            nn.Linear(2 * size, size), nn.GELU(), nn.Dropout(config.dropout), nn.Linear(size, 1)
        )

    def forward(self, batch: InteractionBatch) -> Tensor:
        """Return the logit of a right answer at every step. Shape ``(batch, length)``."""
        items = self.items.hide(batch.items)
        vectors, difficulty = self.items(items, batch.kcs)
        past = self._past(batch)
        steps = self._asked(vectors, batch.lag, past)
        answers = self._answers(batch)
        for block in self.blocks:
            steps = block(steps, steps, answers, past)
        return self._read(steps, vectors, difficulty)

    def probe_logits(self, batch: InteractionBatch, items: Tensor, kcs: Tensor) -> Tensor:
        """Return logits for ``items`` after the whole history. Shape ``(batch, asked)``."""
        vectors, _ = self.items(batch.items, batch.kcs)
        past = self._past(batch)
        steps = self._asked(vectors, batch.lag, past)
        answers = self._answers(batch)
        shape = (len(batch), len(items))
        probes, difficulty = self.items(items, kcs)
        probes, difficulty = probes.expand(*shape, -1), difficulty.expand(*shape, 1)
        probe_past = self._past_of_probes(batch, items.expand(shape), kcs.expand(*shape, -1))
        asked = self._asked(probes, batch.lag.new_zeros(shape), probe_past)
        for block in self.blocks:
            asked = block(asked, steps, answers, probe_past)
            steps = block(steps, steps, answers, past)
        return self._read(asked, probes, difficulty)

    def _asked(self, vectors: Tensor, lag: Tensor, past: _Past) -> Tensor:
        """Return questions with lag and evidence so far. Shape ``(batch, asked, size)``."""
        asked: Tensor = self.dropout(vectors + self.lag(lag.unsqueeze(-1)) + self.evidence(past.evidence))
        return asked

    def _answers(self, batch: InteractionBatch) -> Tensor:
        """Return what became known with each answer. Shape ``(batch, length, size)``."""
        times = torch.stack([batch.elapsed, batch.lag], dim=-1)
        answers: Tensor = self.answer(batch.correct.long()) + self.timing(times)
        return answers

    def _past(self, batch: InteractionBatch) -> _Past:
        length = batch.items.shape[1]
        position = torch.arange(length, device=batch.items.device)
        distance = (position.unsqueeze(1) - position - 1).unsqueeze(0)
        visible = (distance >= 0) & batch.mask.unsqueeze(1)
        return self._look_back(batch, batch.items, batch.kcs, distance, visible)

    def _past_of_probes(self, batch: InteractionBatch, items: Tensor, kcs: Tensor) -> _Past:
        asked, length = items.shape[1], batch.items.shape[1]
        position = torch.arange(length, device=items.device)
        last = batch.mask.sum(1, keepdim=True)
        distance = (last - 1 - position).unsqueeze(1).expand(-1, asked, -1)
        visible = batch.mask.unsqueeze(1).expand(-1, asked, -1)
        return self._look_back(batch, items, kcs, distance, visible)

    def _look_back(
        self, batch: InteractionBatch, items: Tensor, kcs: Tensor, distance: Tensor, visible: Tensor
    ) -> _Past:
        matches = self._matches(batch, items, kcs)
        evidence = _evidence(matches & visible.unsqueeze(1), batch.correct)
        return _Past(evidence, pair_features(distance, visible, matches))

    def _matches(self, batch: InteractionBatch, items: Tensor, kcs: Tensor) -> Tensor:
        """Return which questions share item, or a KC, with which steps."""
        same = (items.unsqueeze(2) == batch.items.unsqueeze(1)) & (items != UNKNOWN).unsqueeze(2)
        ours, theirs = self._kc_sets(kcs), self._kc_sets(batch.kcs)
        shared = ours @ theirs.transpose(1, 2) > 0
        return torch.stack([same, shared], dim=1)

    def _kc_sets(self, kcs: Tensor) -> Tensor:
        """Return KC sets as zeros and ones, padding and unknown left out."""
        sets = torch.zeros(*kcs.shape[:2], self.config.num_kcs, device=kcs.device)
        sets.scatter_(2, kcs, 1.0)
        sets[..., PADDING] = 0.0
        sets[..., UNKNOWN] = 0.0
        return sets

    def _read(self, states: Tensor, vectors: Tensor, difficulty: Tensor) -> Tensor:
        logits: Tensor = self.output(torch.cat([self.norm(states), vectors], dim=-1))
        return (logits - difficulty).squeeze(-1)


def _evidence(seen: Tensor, correct: Tensor) -> Tensor:
    """Return logarithmic counts of right and wrong answers so far and their balance.

    Shapes: ``seen`` ``(batch, NUM_MATCHES, asked, length)``, ``correct`` ``(batch, length)``; returns
    ``(batch, asked, NUM_EVIDENCE)``.
    """
    seen = seen.to(correct.dtype)
    right = torch.einsum("bmql,bl->bqm", seen, correct)
    wrong = torch.einsum("bmql,bl->bqm", seen, 1 - correct)
    # One right and one wrong answer in advance: the balance starts at 0 and moves with evidence.
    balance = (right - wrong) / (right + wrong + 2)
    return torch.cat([right.log1p(), wrong.log1p(), balance], dim=-1)
