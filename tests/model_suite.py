"""What every network must do, whatever its family."""

from __future__ import annotations

import io
from dataclasses import fields, replace
from typing import Any

import torch
from torch import nn

from models.batches import InteractionBatch


def interaction_batch(
    batch: int = 4, length: int = 12, *, num_items: int = 20, num_kcs: int = 7, width: int = 3, seed: int = 0
) -> InteractionBatch:
    """Random histories of different lengths; the first is full."""
    random = torch.Generator().manual_seed(seed)
    lengths = torch.randint(2, length + 1, (batch,), generator=random)
    lengths[0] = length
    mask = torch.arange(length) < lengths.unsqueeze(1)
    kcs = torch.randint(1, num_kcs, (batch, length, width), generator=random)
    kcs[..., 1:] *= torch.rand(batch, length, width - 1, generator=random) < 0.5
    return InteractionBatch(
        items=torch.randint(1, num_items, (batch, length), generator=random) * mask,
        kcs=kcs * mask.unsqueeze(-1),
        correct=torch.randint(0, 2, (batch, length), generator=random).float() * mask,
        mask=mask,
        elapsed=torch.randn(batch, length, generator=random) * mask,
        lag=torch.randn(batch, length, generator=random) * mask,
    )


def pad(batch: InteractionBatch, steps: int) -> InteractionBatch:
    """Return the batch with more padding on the right."""
    padded = {}
    for field in fields(batch):
        value = getattr(batch, field.name)
        empty = torch.zeros(value.shape[0], steps, *value.shape[2:], dtype=value.dtype)
        padded[field.name] = torch.cat([value, empty], dim=1)
    return InteractionBatch(**padded)


def check_model(
    model: nn.Module, batch: Any, *, rebuild: Any, padded: Any = pad, overfit_steps: int = 150
) -> None:
    """Check a family's promises; ``rebuild(config_dict)`` makes a fresh network from plain values.

    ``padded(batch, steps)`` returns the batch with more padding.

    Finite loss, gradients reach every parameter, padding and batch order do not change the loss, one batch
    can be learned by heart, a checkpoint loads with ``weights_only=True``, the configuration round-trips.
    """
    model.train()
    loss = model.loss(batch)
    assert torch.isfinite(loss)
    loss.backward()
    unreached = [name for name, weight in model.named_parameters() if weight.grad is None]
    assert not unreached, f"no gradient reaches {unreached}"
    model.zero_grad()

    model.eval()
    with torch.no_grad():
        expected = model.loss(batch)
        torch.testing.assert_close(model.loss(padded(batch, 5)), expected)
        order = torch.arange(len(batch)).flip(0)
        torch.testing.assert_close(model.loss(batch.rows(order)), expected)

    file = io.BytesIO()
    torch.save({"config": model.config.to_dict(), "state": model.state_dict()}, file)
    file.seek(0)
    content = torch.load(file, weights_only=True)
    again = rebuild(content["config"])
    assert again.config == model.config
    again.load_state_dict(content["state"])
    again.eval()
    torch.testing.assert_close(again(batch), model(batch), rtol=0, atol=0)

    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(overfit_steps):
        optimizer.zero_grad()
        model.loss(batch).backward()
        optimizer.step()
    assert model.loss(batch) < 0.1 * expected


def changed_from(batch: InteractionBatch, step: int, *names: str) -> InteractionBatch:
    """Return the batch with other values of ``names`` from ``step`` on."""
    values = {}
    for name in names:
        value = getattr(batch, name).clone()
        value[:, step:] = 1 - value[:, step:]
        values[name] = value
    return replace(batch, **values)
