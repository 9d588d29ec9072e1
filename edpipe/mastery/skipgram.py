"""Vectors of nodes from walks by skip-gram with negative sampling in PyTorch: for the GPU, and on any CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edpipe.mastery.walk_graph import Int32
from edpipe.progress import Mode, track

if TYPE_CHECKING:
    from torch import Generator, Tensor

# Negatives are drawn by this power of how often a node stands on walks (Mikolov et al. 2013).
FREQUENCY_POWER = 0.75
LEARNING_RATE = 0.02
NODES_A_BATCH = 16_384
# Small graphs have few batches: so many updates are made at least of every epoch, with smaller batches.
UPDATES_AN_EPOCH = 200


def skipgram(
    walks: Int32,
    num_nodes: int,
    *,
    dim: int,
    window: int,
    negatives: int,
    epochs: int,
    seed: int,
    device: str | None = None,
    progress: Mode = "none",
) -> NDArray[np.float32]:
    """Learn a vector of each node from the nodes near it on walks.

    Windows are drawn as Word2Vec does, from 1 to ``window`` for each center. The negatives of a center are
    shared by its contexts and weigh as many times: the same expected gradient from fewer rows.

    Parameters
    ----------
    walks
        Nodes from 0; -1 after the end of a walk. Shape ``(num_walks, length)``.
    num_nodes
        Number of nodes.
    dim
        Width of the vectors.
    window
        Nodes to each side that count as near, at most.
    negatives
        Random nodes against each center.
    epochs
        Passes over the walks.
    seed
        Seed of first vectors, order, windows and negatives. Equal seeds give equal vectors on the CPU.
    device
        ``cuda`` where there is one, by default, else ``cpu``.
    progress
        How the work is shown.

    Returns
    -------
    ndarray
        Vectors as learned, of any length; zeros for nodes on no walk. Shape ``(num_nodes, dim)``.
    """
    import torch

    where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    counts = np.bincount(walks[walks >= 0], minlength=num_nodes)
    if not counts.any() or walks.shape[1] < 2:
        return np.zeros((num_nodes, dim), dtype=np.float32)
    chance = counts.astype(np.float64) ** FREQUENCY_POWER
    cumulative = torch.from_numpy(np.cumsum(chance) / chance.sum()).to(where)
    nodes = torch.from_numpy(walks).to(where)
    random = torch.Generator(device=where).manual_seed(seed)
    first = (torch.rand((num_nodes, dim), generator=random, device=where) - 0.5) / dim
    center = first.requires_grad_()
    context = torch.zeros_like(first).requires_grad_()
    optimizer = torch.optim.SparseAdam([center, context], lr=LEARNING_RATE)
    num_walks = len(walks)
    size = max(1, min(NODES_A_BATCH // walks.shape[1], num_walks // UPDATES_AN_EPOCH))
    num_updates = epochs * -(-num_walks // size)
    done = 0
    with track("Learn vectors (torch)", total=epochs * num_walks, unit="walks", mode=progress) as work:
        for _ in range(epochs):
            order = torch.randperm(num_walks, generator=random, device=where)
            for begin in range(0, num_walks, size):
                batch = nodes[order[begin : begin + size]].long()
                optimizer.param_groups[0]["lr"] = LEARNING_RATE * max(1 - done / num_updates, 0.01)
                drawn = torch.rand((*batch.shape, negatives), generator=random, device=where).double()
                others = torch.searchsorted(cumulative, drawn).clamp_(max=num_nodes - 1)
                reach = _reach(batch, window, random)
                loss = _loss(center, context, batch, others, reach, window)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]  # torch ships it untyped
                optimizer.step()  # type: ignore[no-untyped-call]  # likewise
                done += 1
                work.advance(len(batch))
    found: NDArray[np.float32] = center.detach().cpu().numpy()
    found[counts == 0] = 0
    return found


def _reach(batch: Tensor, window: int, random: Generator) -> Tensor:
    """Draw how far the window of each center reaches. Shape ``(batch, length)``."""
    import torch

    return torch.randint(1, window + 1, batch.shape, generator=random, device=batch.device)


def _loss(
    center: Tensor, context: Tensor, batch: Tensor, others: Tensor, reach: Tensor, window: int
) -> Tensor:
    """Return the mean loss of a center and context.

    Shapes: ``batch`` and ``reach`` ``(batch, length)``, ``others`` ``(batch, length, negatives)``.
    """
    from torch.nn.functional import embedding, softplus

    is_node = batch >= 0
    safe = batch.clamp(min=0)
    # Both have shape (batch, length, dim).
    inner, outer = embedding(safe, center, sparse=True), embedding(safe, context, sparse=True)
    num_contexts = is_node.new_zeros(batch.shape, dtype=inner.dtype)
    loss: Tensor = inner.new_zeros(())
    for offset in range(1, min(window, batch.shape[1] - 1) + 1):
        left, right = slice(None, -offset), slice(offset, None)
        both = is_node[:, left] & is_node[:, right]
        for here, there in ((left, right), (right, left)):
            is_near = (both & (reach[:, here] >= offset)).to(inner.dtype)
            score = (inner[:, here] * outer[:, there]).sum(-1)
            loss = loss + (softplus(-score) * is_near).sum()
            num_contexts[:, here] += is_near
    against = (embedding(others, context, sparse=True) @ inner.unsqueeze(-1)).squeeze(-1)
    loss = loss + (softplus(against).sum(-1) * num_contexts).sum()
    mean: Tensor = loss / num_contexts.sum().clamp(min=1)
    return mean
