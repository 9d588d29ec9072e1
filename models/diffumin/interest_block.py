# SPDX-License-Identifier: Apache-2.0
"""DiffuMIN's own block: interests, their second view, and the contrast of both."""

from __future__ import annotations

from torch import Tensor, cat, nn, split

from models.diffumin.augmentation import Augmentation, MLPAugmentation, Repeat, VariationalAutoencoder
from models.diffumin.cmic import CMIC
from models.diffumin.config import DiffuMINConfig
from models.diffumin.distilled import DistilledDMIG
from models.diffumin.dmig import DMIG, Placebo
from models.diffumin.long_term import LongTermBlock, Rows
from models.diffumin.omie import OMIE, Interests
from models.diffumin.requests import Requests

# Numbers about each channel besides the interest.
NUM_MATCHES = 3


class MultiInterestBlock(LongTermBlock):
    """Orthogonal interests, their augmentation, and contrastive calibration.

    Parameters
    ----------
    config
        Hyper-parameters.
    """

    def __init__(self, config: DiffuMINConfig) -> None:
        super().__init__(config)
        self.omie = OMIE(config)
        self.augmentation = build_augmentation(config)
        self.cmic = CMIC(config) if self.augmentation is not None and config.contrastive_weight else None

    @property
    def summary_size(self) -> int:
        """Width of what :meth:`summarize` returns: interests, channels, behaviors in each, and their mean."""
        return sum(self._summary_sizes)

    @property
    def _summary_sizes(self) -> list[int]:
        number, size = self.config.num_channels, self.config.item_size
        return [number * size, number * size, number] + [size] * self.config.has_overall

    @property
    def output_size(self) -> int:
        """Width of what :meth:`features` returns: interests, their second view, or both, and matches."""
        config = self.config
        views = config.has_interests + (self.augmentation is not None)
        in_channels = config.num_channels * (views * config.item_size + NUM_MATCHES * config.has_matches)
        return in_channels + config.has_overall * (config.item_size + config.has_matches)

    def summarize(self, requests: Requests) -> Tensor:
        """Return interests, channels, behaviors in each, and their mean, flat."""
        return summary_of(self.omie(requests))

    def interests(self, summaries: Tensor) -> Interests:
        """Return what :meth:`summarize` put together. Shape ``(..., summary_size)`` in."""
        number, size = self.config.num_channels, self.config.item_size
        values, channels, num_kept, *overall = split(summaries, self._summary_sizes, dim=-1)
        shape = (*summaries.shape[:-1], number, size)
        return Interests(values.reshape(shape), channels.reshape(shape), num_kept, *overall)

    def features(self, rows: Rows) -> Tensor:
        """Return interests, their second view and matches, flat."""
        return self._features(rows)[0]

    def features_and_losses(self, rows: Rows) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the features and the losses of augmentation and contrast whose weight is not 0."""
        features, interests, generated = self._features(rows)
        losses: dict[str, Tensor] = {}
        if self.augmentation is not None and self.augmentation.loss_name and self.config.diffusion_weight:
            losses[self.augmentation.loss_name] = self.augmentation.loss(interests, rows.loss_noise)
        if self.cmic is not None and generated is not None:
            losses["contrastive"] = self.cmic(interests.values, generated, interests.num_kept, rows.students)
        return features, losses

    def condition(self, summaries: Tensor) -> Tensor | None:
        """Return the last channel of each item where the short-term encoder is told it."""
        if self.config.short_term_condition == "none":
            return None
        return self.interests(summaries).channels[..., -1, :]

    def _features(self, rows: Rows) -> tuple[Tensor, Interests, Tensor | None]:
        interests = self.interests(rows.summaries)
        views = [interests.values] if self.config.has_interests else []
        generated = None
        if self.augmentation is not None:
            generated = self.augmentation(interests, rows.noise)
            views.append(generated)
        read = [view.flatten(1) for view in views]
        if self.config.has_matches:
            read.append(matches_of(interests, rows.targets))
        if interests.overall is not None:
            read.append(interests.overall)
        return cat(read, dim=-1), interests, generated


def matches_of(interests: Interests, targets: Tensor) -> Tensor:
    """Return how alike interests are to their channels and targets, and how many behaviors are behind each.

    A layer of sums would have to learn the products. Shape ``(rows, NUM_MATCHES * num_channels)``, and one
    more, the likeness of the mean of all behaviors to the target, where there is that mean.
    """
    in_channels = (interests.values * interests.channels).sum(dim=-1)
    to_targets = (interests.values * targets.unsqueeze(1)).sum(dim=-1)
    matches = [in_channels, to_targets, interests.num_kept.log1p()]
    if interests.overall is not None:
        matches.append((interests.overall * targets).sum(dim=-1, keepdim=True))
    return cat(matches, dim=-1)


def summary_of(interests: Interests) -> Tensor:
    """Return interests as flat summaries, what they are of the whole last. Shape ``(..., summary_size)``."""
    flat = [interests.values.flatten(-2), interests.channels.flatten(-2), interests.num_kept]
    return cat(flat if interests.overall is None else [*flat, interests.overall], dim=-1)


def build_augmentation(config: DiffuMINConfig) -> Augmentation | None:
    """Return what the configuration names; controls get about as many weights as the diffusion has."""
    kind = config.augmentation
    if kind == "none":
        return None
    simple: dict[str, type[Augmentation]] = {
        "diffusion": DMIG,
        "distilled": DistilledDMIG,
        "repeat": Repeat,
        "placebo": Placebo,
    }
    if kind in simple:
        return simple[kind](config)
    number = num_weights(DMIG(config))
    return MLPAugmentation(config, number) if kind == "mlp" else VariationalAutoencoder(config, number)


def num_weights(module: nn.Module) -> int:
    """Return how many numbers a module learns."""
    return sum(weight.numel() for weight in module.parameters())
