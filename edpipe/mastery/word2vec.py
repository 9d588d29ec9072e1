"""Vectors of nodes from walks by gensim's Word2Vec: skip-gram with negative sampling, on the CPU."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edpipe.mastery.walk_graph import Int32
from edpipe.progress import Mode, track

ROWS_AT_ONCE = 4_096
# As many words as gensim hands a worker at a time.
BATCH_WORDS = 10_000


class _Sentences:
    """Walks as lists of names that exist once a node; gensim looks words up by name."""

    def __init__(self, walks: Int32, names: NDArray[Any], advance: Any) -> None:
        self._walks = walks
        self._names = names
        self._advance = advance

    def __iter__(self) -> Iterator[list[str]]:
        for first in range(0, len(self._walks), ROWS_AT_ONCE):
            piece = self._walks[first : first + ROWS_AT_ONCE]
            if piece.min(initial=0) >= 0:
                yield from self._names[piece].tolist()
            else:
                for walk in piece:
                    yield self._names[walk[walk >= 0]].tolist()
            self._advance(len(piece))


def word2vec(
    walks: Int32,
    num_nodes: int,
    *,
    dim: int,
    window: int,
    negatives: int,
    epochs: int,
    seed: int,
    is_deterministic: bool = False,
    progress: Mode = "none",
) -> NDArray[np.float32]:
    """Learn a vector of each node from the nodes near it on walks.

    Parameters
    ----------
    walks
        Nodes from 0; -1 after the end of a walk. Shape ``(num_walks, length)``.
    num_nodes
        Number of nodes.
    dim
        Width of the vectors.
    window
        Nodes to each side that count as near.
    negatives
        Random nodes against each near one.
    epochs
        Passes over the walks.
    seed
        Seed of first vectors, windows and negatives.
    is_deterministic
        One thread, whose order of updates is fixed: equal vectors on every run.
    progress
        How the work is shown.

    Returns
    -------
    ndarray
        Vectors as learned, of any length; zeros for nodes on no walk. Shape ``(num_nodes, dim)``.
    """
    from gensim.models import Word2Vec

    found = np.zeros((num_nodes, dim), dtype=np.float32)
    counts = np.bincount(walks[walks >= 0], minlength=num_nodes)
    used = np.flatnonzero(counts)
    if not len(used):
        return found
    names = np.array([str(node) for node in range(num_nodes)], dtype=object)
    model = Word2Vec(
        vector_size=dim,
        window=window,
        sg=1,
        hs=0,
        negative=negatives,
        min_count=1,
        sample=0,
        workers=1 if is_deterministic else os.cpu_count() or 1,
        seed=seed,
        epochs=epochs,
        batch_words=BATCH_WORDS,
    )
    model.build_vocab_from_freq({names[node]: int(counts[node]) for node in used})
    with track("Learn vectors (gensim)", total=epochs * len(walks), unit="walks", mode=progress) as work:
        model.train(
            _Sentences(walks, names, work.advance),
            total_examples=len(walks),
            total_words=int(counts.sum()),
            epochs=epochs,
        )
    found[used] = model.wv[names[used].tolist()]
    return found
