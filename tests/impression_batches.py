"""Small batches of impressions, ragged as the networks get them."""

from __future__ import annotations

import itertools
from dataclasses import replace

import torch

from models.batches import PADDING, ImpressionBatch

FIELDS = (30, 8, 5)
NUM_OUTCOMES = 3
NUM_CONTEXT = 2
# What every small network of these batches is made of.
SIZES = {
    "num_field_values": FIELDS,
    "num_outcomes": NUM_OUTCOMES,
    "num_context": NUM_CONTEXT,
    "field_size": 4,
    "embedding_std": 0.5,
    "short_term_window": 4,
    "mlp_sizes": (16,),
    "attention_sizes": (8,),
    "num_retrieved": 6,
    "num_hash_bits": 8,
    "hash_group_bits": 2,
    "num_channels": 3,
}


class Impressions(ImpressionBatch):
    """A batch whose rows can be taken in any order that leaves requests whole."""

    __slots__ = ()

    def rows(self, index):
        """Return the rows that ``index`` selects; requests follow in the order of their first row."""
        requests = self.requests[index]
        order = torch.unique_consecutive(requests)
        starts, ends = self.behavior_offsets[order], self.behavior_offsets[order + 1]
        spans = [torch.arange(start, end) for start, end in zip(starts, ends, strict=True)]
        places = torch.cat([torch.arange(0), *spans])
        lengths = ends - starts
        return Impressions(
            target_items=self.target_items[index],
            clicked=self.clicked[index],
            context=self.context[index],
            requests=torch.repeat_interleave(
                torch.arange(len(order)), torch.unique_consecutive(requests, return_counts=True)[1]
            ),
            students=self.students[order],
            behavior_items=self.behavior_items[places],
            behavior_outcomes=self.behavior_outcomes[places],
            behavior_offsets=torch.nn.functional.pad(lengths.cumsum(0), (1, 0)),
        )


def random_items(number, random, num_field_values=FIELDS):
    """Return fields of random items. Shape ``(number, num_fields)``."""
    columns = [torch.randint(1, size, (number,), generator=random) for size in num_field_values]
    return torch.stack(columns, dim=1)


def impression_batch(lengths=(0, 1, 3, 40, 9), rows=(2, 3, 1, 2, 4), *, seed=0):
    """Random impressions of requests with so many behaviors and rows; the last two are one student."""
    random = torch.Generator().manual_seed(seed)
    number, total = sum(rows), sum(lengths)
    students = torch.arange(len(lengths))
    students[-1] = students[max(0, len(lengths) - 2)]
    return Impressions(
        target_items=random_items(number, random),
        clicked=(torch.arange(number) % 3 == 0).float(),
        context=torch.randn(number, NUM_CONTEXT, generator=random),
        requests=torch.repeat_interleave(torch.arange(len(rows)), torch.tensor(rows)),
        students=students,
        behavior_items=random_items(total, random),
        behavior_outcomes=torch.randint(0, NUM_OUTCOMES, (total,), generator=random),
        behavior_offsets=torch.nn.functional.pad(torch.tensor(lengths).cumsum(0), (1, 0)),
    )


def with_behaviors(batch, change):
    """Return the batch with ``change(request, items, outcomes)`` in place of each behavior sequence."""
    offsets = batch.behavior_offsets.tolist()
    parts = [
        change(number, batch.behavior_items[start:end], batch.behavior_outcomes[start:end])
        for number, (start, end) in enumerate(itertools.pairwise(offsets))
    ]
    lengths = torch.tensor([len(items) for items, _ in parts])
    return replace(
        batch,
        behavior_items=torch.cat([items for items, _ in parts]),
        behavior_outcomes=torch.cat([outcomes for _, outcomes in parts]),
        behavior_offsets=torch.nn.functional.pad(lengths.cumsum(0), (1, 0)),
    )


def pad_impressions(batch, steps):
    """Return the batch with padding before and after the behaviors of each request."""

    def padded(_, items, outcomes):
        nothing = torch.full((steps, items.shape[1]), PADDING)
        none = torch.zeros(steps, dtype=torch.int64)
        return torch.cat([nothing, items, nothing]), torch.cat([none, outcomes, none])

    return with_behaviors(batch, padded)


def one_request(batch, request):
    """Return one request of a batch, alone."""
    return batch.rows((batch.requests == request).nonzero().squeeze(1))


def stirred(model, seed=5, size=0.1):
    """Move every weight a little, so that nothing hides behind a zero; padding stays nothing."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(size * torch.randn(weight.shape, generator=random))
        model.embedding.table.weight[PADDING] = 0.0
    return model
