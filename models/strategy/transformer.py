# SPDX-License-Identifier: Apache-2.0
"""A small transformer that copies strategies seen in training, or writes new ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from models.strategy.batch import StrategyBatch
from models.strategy.beam import Memory, State
from models.strategy.calibration import Calibration, Explained
from models.strategy.config import TransformerStrategyConfig
from models.strategy.copying import (
    TokenPointer,
    Written,
    gather_tokens,
    mix,
    next_in_examples,
    pad_to,
    place_of,
    written_before,
)
from models.strategy.decoder import DecoderLayer
from models.strategy.examples import ExampleScorer, usable_examples
from models.strategy.model import IMPOSSIBLE, StrategyModel, columns_possible, mean_loss, targets_of
from models.strategy.tokens import BOS, FIRST_KC, PAD, shift_right


class TransformerStrategyModel(StrategyModel):
    r"""A mixture of whole examples and of a causal transformer with a pointer to their tokens.

    The probability of a strategy is :math:`\sum_e \pi_e [y = e] + \pi_0 \, p_0(y)` with the chances
    :math:`\pi` of :class:`~models.strategy.examples.ExampleScorer` and the free writing :math:`p_0`. Token by
    token an example that no longer agrees with what was written drops out, and the others gain: forward pass
    and decoding use the same conditional probabilities, so both are exact. Vectors, mastery and examples
    reach the score, vectors and mastery the first state of the writing.

    Parameters
    ----------
    config
        Hyper-parameters.
    """

    config: TransformerStrategyConfig

    def __init__(self, config: TransformerStrategyConfig) -> None:
        super().__init__(config)
        size = config.size
        self.embedding = nn.Embedding(config.num_tokens, size, padding_idx=PAD)
        self.position = nn.Embedding(config.max_positions, size)
        self.vectors = nn.Linear(3 * config.vector_size, size)
        self.mastery = nn.Linear(config.num_tokens - FIRST_KC, size, bias=False)
        self.scorer = ExampleScorer(size, config.dropout)
        self.calibration = Calibration()
        self.layers = nn.ModuleList(
            DecoderLayer(size, config.num_heads, config.dropout) for _ in range(config.num_layers)
        )
        self.norm = nn.LayerNorm(size)
        self.pointer = TokenPointer(size)
        self.bias = nn.Parameter(torch.zeros(config.num_tokens))
        self.mastery_weight = nn.Parameter(torch.zeros(()))
        self.dropout = nn.Dropout(config.dropout)
        with torch.no_grad():
            for table in (self.embedding.weight, self.position.weight):
                table.mul_(size**-0.5)

    def forward(self, batch: StrategyBatch) -> Tensor:
        """Return the log-probability of every token at every place."""
        return self._log_probs(batch)[0]

    @torch.no_grad()
    def calibrate(self, batches: Iterable[StrategyBatch]) -> None:
        """Fit the temperature of the examples' chances and the offset of free writing."""
        self.eval()
        self.calibration.fit([self._explained(batch) for batch in batches])

    def training_loss(self, batch: StrategyBatch) -> Tensor:
        """Return the loss, and a little of the loss of free writing alone."""
        mixed, written, _ = self._log_probs(batch)
        return mean_loss(targets_of(mixed, batch), batch) + self.config.writing_weight * mean_loss(
            targets_of(written, batch), batch
        )

    def start(self, batch: StrategyBatch, columns: Tensor) -> tuple[Memory, State]:
        """Return examples with their chances, and the state before the first token."""
        usable = usable_examples(batch)
        context = self._context(batch)
        prior = self.scorer(batch, usable, context, self.embedding.weight)
        memory = (
            columns_possible(batch, columns),
            self._mastery_bias(batch)[:, columns],
            context,
            batch.examples,
            self.pointer.keys(batch.examples, self.embedding.weight),
            prior,
            self.calibration(prior),
        )
        rows, device = len(batch), batch.tokens.device
        nothing = context.new_zeros(rows, 1, self.config.num_layers, 0, 2 * self.config.size)
        state = (
            nothing,
            usable.unsqueeze(1),
            torch.zeros(rows, 1, device=device),
            torch.zeros(rows, 1, len(columns), device=device),
            torch.full((rows, 1), BOS, device=device),
        )
        return memory, state

    def step(self, tokens: Tensor, memory: Memory, state: State, columns: Tensor) -> tuple[Tensor, State]:
        """Read the last tokens and say what may follow."""
        possible, mastery_bias, context, examples, keys, prior, chances = memory
        seen, agrees, log_prob, written_log_probs, before_last = state
        place = seen.shape[3]
        places = place_of(columns, self.config.num_tokens)
        if place:
            given = written_log_probs.gather(2, places[tokens].unsqueeze(-1)).squeeze(-1)
            log_prob = log_prob + given.clamp(min=IMPOSSIBLE)
            here = next_in_examples(examples, torch.full_like(tokens, place - 1))
            agrees = agrees & (here == tokens.unsqueeze(-1))
        hidden, seen = self._hidden_step(tokens, context, seen)
        written = Written(tokens, before_last, torch.full_like(tokens, place), agrees)
        given_next = self._written_log_probs(
            hidden, written, (examples, keys, prior), mastery_bias, possible, columns
        )
        log_probs = self._mixed(given_next, mix(chances, agrees, log_prob), written, examples, columns)
        return log_probs, (seen, agrees, log_prob, given_next, tokens)

    def _explained(self, batch: StrategyBatch) -> Explained:
        """Return what each source of the mixture says of the true strategies."""
        _, given, prior = self._log_probs(batch)
        length = max(batch.tokens.shape[1], batch.examples.shape[2])
        tokens, examples = pad_to(batch.tokens, length), pad_to(batch.examples, length)
        follows = (examples == tokens.unsqueeze(1)).all(dim=-1) & usable_examples(batch)
        return Explained(prior, follows, targets_of(given, batch).sum(dim=1))

    def _log_probs(self, batch: StrategyBatch) -> tuple[Tensor, Tensor, Tensor]:
        """Return log-probabilities of the mixture and of free writing, and the uncalibrated chances."""
        columns = torch.arange(self.config.num_tokens, device=batch.tokens.device)
        usable = usable_examples(batch)
        context = self._context(batch)
        prior = self.scorer(batch, usable, context, self.embedding.weight)
        place = torch.arange(batch.tokens.shape[1], device=batch.tokens.device)
        hidden = self._embed(shift_right(batch.tokens), place) + context.unsqueeze(1)
        for layer in self._decoder_layers():
            hidden = layer(hidden)
        written = written_before(batch.tokens, batch.examples, usable)
        keys = self.pointer.keys(batch.examples, self.embedding.weight)
        given = self._written_log_probs(
            hidden,
            written,
            (batch.examples, keys, prior),
            self._mastery_bias(batch),
            columns_possible(batch, None),
            columns,
        )
        of_targets = targets_of(given, batch)
        before = torch.cat([torch.zeros_like(of_targets[:, :1]), of_targets[:, :-1]], dim=1).cumsum(dim=1)
        chances = mix(self.calibration(prior), written.agrees, before)
        return self._mixed(given, chances, written, batch.examples, columns), given, prior

    def _context(self, batch: StrategyBatch) -> Tensor:
        """Return what vectors and mastery say. Shape ``(batch, size)``."""
        vectors = [batch.student_vectors, batch.section_vectors, batch.problem_vectors]
        share = self.config.vector_dropout
        if self.training and share:
            vectors = [vector * (torch.rand_like(vector[:, :1]) >= share) for vector in vectors]
        # Vectors of length 1 have entries near 0; at this scale a linear layer sees them.
        joined = torch.cat(vectors, dim=-1) * self.config.vector_size**0.5
        context: Tensor = self.dropout(self.vectors(joined) + self.mastery(batch.student_mastery - 0.5))
        return context

    def _embed(self, tokens: Tensor, place: Tensor) -> Tensor:
        scale = self.config.size**0.5
        position = self.position(place.clamp(max=self.config.max_positions - 1))
        embedded: Tensor = self.dropout(scale * (self.embedding(tokens) + position))
        return embedded

    def _decoder_layers(self) -> Iterator[DecoderLayer]:
        return (layer for layer in self.layers if isinstance(layer, DecoderLayer))

    def _hidden_step(self, tokens: Tensor, context: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Return the last hidden state of each beam, and the keys and values up to it."""
        rows, beams = tokens.shape
        place = torch.full((1,), seen.shape[3], device=tokens.device)
        hidden = (self._embed(tokens, place) + context.unsqueeze(1)).flatten(0, 1).unsqueeze(1)
        after = []
        for number, layer in enumerate(self._decoder_layers()):
            hidden, kept = layer.step(hidden, seen[:, :, number].flatten(0, 1))
            after.append(kept.view(rows, beams, *kept.shape[1:]))
        return hidden.view(rows, beams, -1), torch.stack(after, dim=2)

    def _mastery_bias(self, batch: StrategyBatch) -> Tensor:
        """Return what mastery of a KC adds to its logit. Shape ``(batch, num_tokens)``."""
        bias = self.mastery_weight * (batch.student_mastery - 0.5)
        return nn.functional.pad(bias, (FIRST_KC, 0))

    def _written_log_probs(
        self,
        hidden: Tensor,
        written: Written,
        copied: tuple[Tensor, Tensor, Tensor],
        mastery_bias: Tensor,
        possible: Tensor,
        columns: Tensor,
    ) -> Tensor:
        """Return the log-probabilities of free writing, which may copy single tokens.

        ``copied`` holds examples, keys and the prior. Shape ``(batch, asked, num_columns)``.
        """
        examples, keys, prior = copied
        hidden = self.norm(hidden)
        logits = hidden @ self.embedding.weight[columns].T + self.bias[columns] + mastery_bias.unsqueeze(1)
        chosen = logits.float().masked_fill(~possible.unsqueeze(1), -torch.inf).log_softmax(dim=-1)
        weights, gate = self.pointer(hidden, written, examples, keys, prior[:, :-1])
        if not weights.shape[-1]:
            return chosen
        places = place_of(columns, self.config.num_tokens)[examples].flatten(1)
        pointed = gather_tokens(weights, places.unsqueeze(1).expand_as(weights), len(columns))
        gate = gate.masked_fill(weights.sum(-1) == 0, -torch.inf)
        free = nn.functional.logsigmoid(-gate).unsqueeze(-1) + chosen
        return _either(free, nn.functional.logsigmoid(gate).unsqueeze(-1) + _log(pointed))

    def _mixed(
        self, given: Tensor, chances: Tensor, written: Written, examples: Tensor, columns: Tensor
    ) -> Tensor:
        """Return the log-probabilities of the mixture. Shape ``(batch, asked, num_columns)``."""
        free = chances[..., -1:] + given
        if not examples.shape[1]:
            return free
        following = place_of(columns, self.config.num_tokens)[next_in_examples(examples, written.place)]
        copied = gather_tokens(chances[..., :-1].exp(), following, len(columns))
        return _either(free, _log(copied))


def _log(values: Tensor) -> Tensor:
    """Return logarithms, minus infinity of 0 without a gradient."""
    is_zero = values <= 0
    return values.masked_fill(is_zero, 1.0).log().masked_fill(is_zero, -torch.inf)


def _either(first: Tensor, second: Tensor) -> Tensor:
    """Return the logarithm of the sum of two probabilities; where both are 0 there is no gradient."""
    is_never = (first == -torch.inf) & (second == -torch.inf)
    both = torch.logaddexp(first.masked_fill(is_never, 0.0), second.masked_fill(is_never, 0.0))
    return both.masked_fill(is_never, -torch.inf)
