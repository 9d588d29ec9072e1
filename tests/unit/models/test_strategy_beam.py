import itertools

import numpy as np
import pytest
import torch
from strategy_batches import strategy_batch

from models.strategy.beam import beam_search
from models.strategy.tokens import BOS, EOS, FIRST_KC, UNK, decode_tokens, encode_strategy, shift_right

COLUMNS = torch.tensor([EOS, FIRST_KC, FIRST_KC + 1])


def chain(seed=0, rows=3):
    """A first-order Markov chain of each row: log-probabilities by the last token and the next column."""
    random = torch.Generator().manual_seed(seed)
    table = torch.randn(rows, FIRST_KC + 2, len(COLUMNS), generator=random).log_softmax(-1)

    def step(tokens, memory, state):
        (row_table,) = memory
        rows = torch.arange(len(row_table)).unsqueeze(1)
        return row_table[rows, tokens], state

    return table, step


def probability(table, row, strategy):
    total, last = 0.0, BOS
    for token in [*strategy, EOS]:
        total += float(table[row, last, int((token == COLUMNS).nonzero())])
        last = token
    return total


@pytest.mark.parametrize("penalty", [0.0, 0.7, 1.5])
@pytest.mark.parametrize("seed", range(5))
def test_many_beams_find_the_best_strategy_of_all(seed, penalty):
    table, step = chain(seed)
    found = beam_search(
        step, (table,), (torch.zeros(3, 1, 1),), COLUMNS, beam_size=100, max_length=4, length_penalty=penalty
    )
    every = [s for n in range(5) for s in itertools.product([FIRST_KC, FIRST_KC + 1], repeat=n)]
    for row in range(3):
        scores = [probability(table, row, s) / (len(s) + 1) ** penalty for s in every]
        best = every[int(np.argmax(scores))]
        assert tuple(found.tokens[row, : found.lengths[row]].tolist()) == best
        assert float(found.log_probs[row]) == pytest.approx(probability(table, row, best), abs=1e-5)


def test_rows_do_not_disturb_each_other():
    table, step = chain(3, rows=6)
    together = beam_search(step, (table,), (torch.zeros(6, 1, 1),), COLUMNS, beam_size=3, max_length=6)
    for row in range(6):
        alone = beam_search(
            step, (table[row : row + 1],), (torch.zeros(1, 1, 1),), COLUMNS, beam_size=3, max_length=6
        )
        assert torch.equal(alone.tokens[0], together.tokens[row])


def test_a_strategy_never_exceeds_the_greatest_length():
    table = torch.zeros(1, FIRST_KC + 2, 3)
    table[..., 0] = -50.0
    found = beam_search(
        lambda tokens, memory, state: (memory[0][torch.zeros_like(tokens), tokens], state),
        (table.log_softmax(-1),), (torch.zeros(1, 1, 1),), COLUMNS, max_length=3,
    )  # fmt: skip
    assert found.lengths.tolist() == [3]
    assert float(found.log_probs) < -49


@pytest.mark.parametrize("change", [{"beam_size": 0}, {"max_length": 0}, {"length_penalty": -1}])
def test_numbers_out_of_range_are_refused(change):
    table, step = chain()
    with pytest.raises(ValueError, match="must be positive"):
        beam_search(step, (table,), (torch.zeros(3, 1, 1),), COLUMNS, **change)


def test_a_search_without_an_end_is_refused():
    table, step = chain()
    with pytest.raises(ValueError, match="end token"):
        beam_search(step, (table,), (torch.zeros(3, 1, 1),), COLUMNS[1:])


def test_tokens_of_a_strategy_come_back_as_its_kcs():
    tokens = encode_strategy([3, 0, -1, 3])
    assert tokens.tolist() == [FIRST_KC + 3, FIRST_KC, UNK, FIRST_KC + 3, EOS]
    assert decode_tokens(np.append(tokens, [0, 0])).tolist() == [3, 0, -1, 3]
    assert decode_tokens(torch.from_numpy(tokens)).tolist() == [3, 0, -1, 3]
    with pytest.raises(ValueError, match="at least -1"):
        encode_strategy([-2])
    with pytest.raises(ValueError, match="start token"):
        decode_tokens([BOS, EOS])


def test_what_is_seen_starts_with_the_start_and_never_shows_the_end():
    tokens = torch.tensor([[5, 6, EOS, 0], [5, EOS, 0, 0]])
    assert shift_right(tokens).tolist() == [[BOS, 5, 6, 0], [BOS, 5, 0, 0]]


def test_a_batch_refuses_columns_of_other_shapes():
    from dataclasses import replace

    batch = strategy_batch()
    for name in ("section_vectors", "example_features", "student_mastery", "student_vectors", "allowed"):
        with pytest.raises(ValueError, match=name):
            replace(batch, **{name: getattr(batch, name)[:-1]})
    with pytest.raises(ValueError, match="tokens must have shape"):
        replace(batch, tokens=batch.tokens[0])
    with pytest.raises(ValueError, match="examples must have shape"):
        replace(batch, examples=batch.examples[:, 0])


def test_a_batch_moves_whole():
    moved = strategy_batch().to("meta")
    assert {moved.tokens.device.type, moved.examples.device.type} == {"meta"}
