# SPDX-License-Identifier: Apache-2.0
"""Contrast of both views of an interest: a row's own should be more alike than those of other students."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.diffumin.config import DiffuMINConfig
from models.diffumin.precision import full_precision


class CMIC(nn.Module):
    r"""Contrastive multi-interest calibration: InfoNCE from interests to generated ones, in each channel.

    .. math:: -\frac{1}{c\,|U|} \sum_i \sum_u \log
              \frac{\exp(\cos(r_{u,i}, r^*_{u,i}) / \tau)}{\sum_v \exp(\cos(r_{u,i}, r^*_{v,i}) / \tau)}

    after a map of each view. :math:`v` runs over the row itself and rows of other students: a student's other
    impressions are like it by right. Empty interests take no part.

    Parameters
    ----------
    config
        Hyper-parameters.

    References
    ----------
    Equation 20 of "Modeling long-term user behaviors with diffusion-driven multi-interest network for CTR
    prediction" (RecSys 2025), where all other rows are negatives.
    """

    def __init__(self, config: DiffuMINConfig) -> None:
        super().__init__()
        self.config = config
        self.anchor = self._head()
        self.candidate = self._head()

    def _head(self) -> nn.Module:
        size = self.config.item_size
        if self.config.contrastive_head == "linear":
            return nn.Linear(size, size)
        return nn.Sequential(nn.Linear(size, 4 * size), nn.ReLU(), nn.Linear(4 * size, size))

    def forward(self, values: Tensor, generated: Tensor, num_kept: Tensor, students: Tensor) -> Tensor:
        """Return the scalar loss; 0 if no interest takes part.

        Parameters
        ----------
        values, generated
            Both views. Shape ``(rows, num_channels, item_size)``.
        num_kept
            Behaviors in each channel. Shape ``(rows, num_channels)``.
        students
            Number of the student of each row. Shape ``(rows,)``.
        """
        with full_precision(values.device):
            return self._contrast(values.float(), generated.float(), num_kept, students)

    def _contrast(self, values: Tensor, generated: Tensor, num_kept: Tensor, students: Tensor) -> Tensor:
        anchors = nn.functional.normalize(self.anchor(values), dim=-1).transpose(0, 1)
        candidates = nn.functional.normalize(self.candidate(generated), dim=-1).transpose(0, 1)
        positive = (anchors * candidates).sum(-1) / self.config.temperature  # (num_channels, rows)
        drawn = self._negatives(len(students), students.device)
        logits = anchors @ candidates[:, drawn].transpose(1, 2) / self.config.temperature
        is_negative = students.unsqueeze(1) != students[drawn]
        if not self.config.is_same_student_masked:
            is_negative = torch.arange(len(students), device=drawn.device).unsqueeze(1) != drawn
        is_filled = (num_kept > 0).T
        takes_part = is_negative & is_filled[:, drawn].unsqueeze(1)
        logits = logits.masked_fill(~takes_part, -torch.inf)
        losses = torch.cat([positive.unsqueeze(-1), logits], dim=-1).logsumexp(dim=-1) - positive
        counted = torch.where(is_filled, losses, torch.zeros_like(losses))
        return counted.sum() / is_filled.sum().clamp(min=1)

    def _negatives(self, number: int, device: torch.device) -> Tensor:
        """Return the rows whose generated interests are negatives; in training a random few of many."""
        most = self.config.max_negatives
        if not self.training or not most or most >= number:
            return torch.arange(number, device=device)
        return torch.randperm(number, device=device)[:most]
