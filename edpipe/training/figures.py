"""What each epoch is described by, one class a family of models."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class Figures(ABC):
    """Figures of one epoch.

    Attributes
    ----------
    epoch
        Number from 0.
    """

    epoch: int

    @property
    @abstractmethod
    def score(self) -> float:
        """What the best epoch has most of."""

    @property
    @abstractmethod
    def words(self) -> str:
        """What to show beside the progress."""

    @classmethod
    @abstractmethod
    def of(cls, epoch: int, metrics: Mapping[str, float]) -> Self:
        """Return the figures of an epoch out of what its module logged."""


@dataclass(frozen=True)
class Epoch(Figures):
    """Figures of one epoch of a tracer.

    Attributes
    ----------
    epoch
        Number from 0.
    train_loss, valid_loss
        Mean binary cross-entropy; validation with the averaged weights.
    valid_auc
        Area under the ROC curve over all scored validation steps.
    """

    train_loss: float
    valid_loss: float
    valid_auc: float

    @property
    def score(self) -> float:
        """The validation AUC."""
        return self.valid_auc

    @property
    def words(self) -> str:
        """Number of the epoch, and its AUC."""
        return f"epoch {self.epoch + 1}, validation AUC {self.valid_auc:.4f}"

    @classmethod
    def of(cls, epoch: int, metrics: Mapping[str, float]) -> Self:
        """Return the figures that the module logged."""
        return cls(epoch, metrics["train/loss"], metrics["valid/loss"], metrics["valid/auc"])


@dataclass(frozen=True)
class StrategyEpoch(Figures):
    """Figures of one epoch of a strategy predictor.

    Attributes
    ----------
    epoch
        Number from 0.
    train_loss, valid_loss
        Mean negative log-likelihood of a KC or an end, in nats; training with what its model adds,
        validation with the averaged weights.
    valid_next_accuracy
        Share of validation KCs and ends foretold from the true ones before, in [0, 1].
    """

    train_loss: float
    valid_loss: float
    valid_next_accuracy: float

    @property
    def score(self) -> float:
        """The validation loss, turned round."""
        return -self.valid_loss

    @property
    def words(self) -> str:
        """Number of the epoch, and its loss."""
        return f"epoch {self.epoch + 1}, validation loss {self.valid_loss:.4f} nats"

    @classmethod
    def of(cls, epoch: int, metrics: Mapping[str, float]) -> Self:
        """Return the figures that the module logged."""
        return cls(epoch, metrics["train/loss"], metrics["valid/loss"], metrics["valid/next_accuracy"])


@dataclass(frozen=True)
class TSDiffEpoch(Figures):
    """Figures of one epoch of a diffusion model of series.

    Attributes
    ----------
    epoch
        Number from 0.
    train_loss, valid_loss
        Mean squared error of what the network foretells, scaled; validation with the averaged weights.
    valid_crps
        Mean weighted quantile loss of forecasts of validation windows; NaN where an epoch is too short to
        sample them.
    """

    train_loss: float
    valid_loss: float
    valid_crps: float

    @property
    def score(self) -> float:
        """The validation CRPS, or else the validation loss, turned round."""
        return -(self.valid_loss if math.isnan(self.valid_crps) else self.valid_crps)

    @property
    def words(self) -> str:
        """Number of the epoch, and what it is judged by."""
        if math.isnan(self.valid_crps):
            return f"epoch {self.epoch + 1}, validation loss {self.valid_loss:.4f}"
        return f"epoch {self.epoch + 1}, validation CRPS {self.valid_crps:.4f}"

    @classmethod
    def of(cls, epoch: int, metrics: Mapping[str, float]) -> Self:
        """Return the figures that the module and the look at validation logged."""
        crps = metrics.get("valid/crps", math.nan)
        return cls(epoch, metrics["train/loss"], metrics["valid/loss"], crps)


@dataclass(frozen=True)
class ClickEpoch(Epoch):
    """Figures of one epoch of a recommender, judged as a tracer is.

    Attributes
    ----------
    train_loss
        Mean of all that training makes small.
    train_click_loss
        The part of it that is the cross-entropy of clicks; NaN where a student learns from its teacher alone.
    """

    train_click_loss: float

    @classmethod
    def of(cls, epoch: int, metrics: Mapping[str, float]) -> Self:
        """Return the figures that the module logged."""
        return cls(
            epoch,
            metrics["train/loss"],
            metrics["valid/loss"],
            metrics["valid/auc"],
            metrics.get("train/ctr", math.nan),
        )
