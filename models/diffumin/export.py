# SPDX-License-Identifier: Apache-2.0
"""The network for one request as a graph that needs no Python, for any number of items and behaviors."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from models.diffumin.interest_block import MultiInterestBlock
from models.diffumin.long_term import Rows
from models.diffumin.model import DiffuMIN
from models.diffumin.requests import Requests

# Sizes of the example that a graph is traced with; any other is as good.
EXAMPLE_ITEMS, EXAMPLE_BEHAVIORS = 5, 37


class RequestScorer(nn.Module):
    """A trained network that scores the items of one student; nothing in it calls LAPACK.

    Parameters
    ----------
    model
        Network; it is copied. Its channels may be ``qr`` or ``cgs2``, which are the same basis.

    Raises
    ------
    ValueError
        If it is a baseline, its channels are ``polar``, or it draws new noise.
    """

    def __init__(self, model: DiffuMIN) -> None:
        super().__init__()
        config = model.config
        if not isinstance(model.long_term, MultiInterestBlock):
            raise ValueError(f"only DiffuMIN is exported; got long_term {config.long_term!r}.")
        if config.orthonormalization == "polar":
            raise ValueError("orthonormalization must be 'qr' or 'cgs2' for an export; got 'polar'.")
        if config.inference_noise == "drawn":
            raise ValueError("inference_noise must be 'zero' or 'keyed' for an export; got 'drawn'.")
        self.model = copy.deepcopy(model).eval().requires_grad_(requires_grad=False)
        block = self.model.long_term
        if isinstance(block, MultiInterestBlock):
            block.omie.channels.config = replace(config, orthonormalization="cgs2")

    def forward(
        self,
        target_items: Tensor,
        context: Tensor,
        behavior_items: Tensor,
        behavior_outcomes: Tensor,
        student: Tensor,
    ) -> Tensor:
        """Return the logits of a click.

        Parameters
        ----------
        target_items
            Fields, int64. Shape ``(num_items, num_fields)``.
        context
            Shape ``(num_items, num_context)``.
        behavior_items, behavior_outcomes
            Oldest first, int64. Shapes ``(length, num_fields)`` and ``(length,)``.
        student
            Number of the student, int64. Shape ``(1,)``.

        Returns
        -------
        Tensor
            Shape ``(num_items,)``.
        """
        model = self.model
        # A place of padding before all others lets a student have no behavior.
        items = nn.functional.pad(behavior_items, (0, 0, 1, 0))
        outcomes = nn.functional.pad(behavior_outcomes, (1, 0))
        mask = nn.functional.pad(torch.ones_like(behavior_outcomes), (1, 0)).bool()
        requests = Requests(
            targets=model.embedding(target_items).unsqueeze(0),
            target_items=target_items.unsqueeze(0),
            behaviors=model.embedding(items, outcomes).unsqueeze(0),
            behavior_items=items.unsqueeze(0),
            behavior_outcomes=outcomes.unsqueeze(0),
            mask=mask.unsqueeze(0),
        )
        summaries = model.long_term.summarize(requests)
        short = None
        if model.short_term is not None:
            short = model.short_term(requests, model.long_term.condition(summaries)).squeeze(0)
        students = student.expand(target_items.shape[0])
        noise = model.noise(students, target_items)
        targets = requests.targets.squeeze(0)
        rows = Rows(summaries.squeeze(0), targets, students, context, noise, noise)
        return model.logits(model.long_term.features(rows), short, targets, context)


def export_request_scorer(model: DiffuMIN) -> ExportedProgram:
    """Return the graph of :class:`RequestScorer`, for any number of items and behaviors from 2.

    Raises
    ------
    ValueError
        As :class:`RequestScorer`.
    """
    scorer = RequestScorer(model).eval()
    config = model.config
    example = (
        torch.ones(EXAMPLE_ITEMS, config.num_fields, dtype=torch.int64),
        torch.zeros(EXAMPLE_ITEMS, config.num_context),
        torch.ones(EXAMPLE_BEHAVIORS, config.num_fields, dtype=torch.int64),
        torch.zeros(EXAMPLE_BEHAVIORS, dtype=torch.int64),
        torch.zeros(1, dtype=torch.int64),
    )
    # Not named: the exporter cannot prove of named sizes that one more than a length is never less.
    several = {0: Dim.DYNAMIC}
    shapes = (several, several, several, several, None)
    with torch.no_grad():
        return torch.export.export(scorer, example, dynamic_shapes=shapes)
