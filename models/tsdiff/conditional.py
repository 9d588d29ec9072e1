# SPDX-License-Identifier: Apache-2.0
"""Forecasters that are told the past: flow matching in few steps, and diffusion as in TSDiff-Cond."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn

from models.batches import WindowBatch
from models.diffusion import DDIM, Estimate, Euler, FlowMatching, Process, Sampler, normal_like, window_losses
from models.tsdiff.backbone import Backbone
from models.tsdiff.config import ConditionalConfig
from models.tsdiff.guesses import FitWindows, build_guess, level_and_spread
from models.tsdiff.model import SeriesDiffusion, stepwise_process
from models.tsdiff.priors import WhitePrior, build_prior

# Windows further than this from their center, in its unit, count as if they were as far.
FARTHEST = 5.0


@dataclass(frozen=True, slots=True, eq=False)
class Told:
    """What a forecaster knows of each window before it forecasts.

    Attributes
    ----------
    past
        Scaled values of the context, 0 where unknown and in the future. Shape ``(batch, length)``.
    known
        Which of them are known. Shape ``(batch, length)``, boolean.
    condition
        Channels that every block reads. Shape ``(batch, length, num_conditions)``.
    features
        What describes the whole window. Shape ``(batch, num_features)``; None where nothing does.
    center
        What diffused values are measured from. Shape ``(batch, length)``.
    unit
        In which unit. Shape ``(batch, length)``.
    """

    past: Tensor
    known: Tensor
    condition: Tensor
    features: Tensor | None
    center: Tensor
    unit: Tensor

    def measured(self, values: Tensor) -> Tensor:
        """Return scaled values as they are diffused. Shape ``(batch, length, channels)``."""
        return (values - self.center.unsqueeze(-1)) / self.unit.unsqueeze(-1)

    def restored(self, values: Tensor) -> Tensor:
        """Return diffused values as scaled ones. Shape ``(batch, length, channels)``."""
        return self.center.unsqueeze(-1) + self.unit.unsqueeze(-1) * values

    def repeat(self, times: int) -> Told:
        """Return each window ``times`` times in a row."""
        return self._each(lambda values: values.repeat_interleave(times, 0))

    def rows(self, index: slice) -> Told:
        """Return some of the windows."""
        return self._each(lambda values: values[index])

    def _each(self, change: Callable[[Tensor], Tensor]) -> Told:
        features = None if self.features is None else change(self.features)
        past, known, condition = change(self.past), change(self.known), change(self.condition)
        return Told(past, known, condition, features, change(self.center), change(self.unit))


class ConditionalForecaster(SeriesDiffusion):
    """Diffuse the series alone and tell the network its past, its lags, and which of them are known.

    Nothing of the future is told, not even through a lag that is smaller than the prediction length: those
    entries are masked in training as they must be at prediction.

    Parameters
    ----------
    config
        Hyper-parameters; kept as ``config``.

    References
    ----------
    Kollovieh et al. (2023), "Predict, refine, synthesize" for TSDiff-Cond; Kollovieh et al. (2025), "Flow
    matching with Gaussian process priors for probabilistic time series forecasting" for the flow.
    """

    config: ConditionalConfig
    is_future: Tensor
    is_lag_past: Tensor

    def __init__(self, config: ConditionalConfig) -> None:
        super().__init__()
        self.config = config
        self.process: Process = FlowMatching() if config.dynamics == "flow" else stepwise_process(config)
        self.prior = build_prior(config)
        self.guess = build_guess(config)
        self.has_guess = self.guess is not None or not isinstance(self.prior, WhitePrior)
        self.network = Backbone(
            config,
            self.channels,
            num_conditions=2 + 2 * config.num_lags + self.has_guess + config.num_calendar,
            num_features=2 * config.is_scale_told + 2 * (self.guess is not None),
            is_condition_early=config.is_condition_early,
        )
        place = torch.arange(config.length)
        lags = torch.tensor(config.lags, dtype=torch.long)
        self.register_buffer("is_future", place >= config.context_length, persistent=False)
        self.register_buffer(
            "is_lag_past", place.unsqueeze(1) - lags < config.context_length, persistent=False
        )

    @property
    def channels(self) -> int:
        """The series alone."""
        return 1

    def told(self, batch: WindowBatch) -> Told:
        """Return what the network may know of each window: nothing that depends on its future."""
        self.check(batch)
        if batch.calendar.shape[-1] < self.config.num_calendar:
            found = f"{batch.calendar.shape[-1]}; expected {self.config.num_calendar}"
            raise ValueError(f"windows tell too little of the calendar: {found} channels.")
        values, observed = batch.scaled()
        known = batch.observed & ~self.is_future
        past = values[..., 0].masked_fill(~known, 0.0)
        usable = observed[..., 1:] & self.is_lag_past
        center, unit = torch.zeros_like(past), torch.ones_like(past)
        features = []
        if self.config.is_scale_told:
            features += [batch.scale.log(), torch.asinh(batch.loc / batch.scale)]
        hints = []
        if self.guess is not None:
            center, unit = self.guess(past, known, values[..., 1:], usable)
            level, spread = level_and_spread(past, known)
            hints.append(((center - level) / spread).unsqueeze(-1))
            error = unit[:, 0]  # as it is within the context
            features += [error.log(), (error / spread.squeeze(-1)).log()]
        elif self.has_guess:
            hints.append(self.prior.mean(past, known).unsqueeze(-1))
        about = torch.stack(features, dim=-1) if features else None
        told = Told(past, known, past, about, center, unit)
        channels = [
            told.measured(past.unsqueeze(-1)).masked_fill(~known.unsqueeze(-1), 0.0),
            known.unsqueeze(-1).to(past.dtype),
            told.measured(values[..., 1:]).masked_fill(~usable, 0.0),
            usable.to(past.dtype),
            *hints,
            batch.calendar[..., : self.config.num_calendar],
        ]
        return replace(told, condition=torch.cat(channels, dim=-1))

    def clean(self, batch: WindowBatch, told: Told) -> Tensor:
        """Return the values of whole windows as they are diffused. Shape ``(batch, length, 1)``."""
        return told.measured(batch.scaled()[0][..., :1])

    def fit_center(self, batches: Callable[[], Iterable[WindowBatch]]) -> None:
        """Fit the center and its errors to training windows; nothing to do for models without one.

        Parameters
        ----------
        batches
            Yields the same batches at each call.
        """
        if self.guess is not None:
            self.guess.fit(lambda: map(self._to_fit, batches()))

    def _to_fit(self, batch: WindowBatch) -> FitWindows:
        values, observed = batch.scaled()
        usable = observed[..., 1:] & self.is_lag_past
        return values[..., 0], batch.observed, values[..., 1:], usable

    def start(self, told: Told, noise: Tensor) -> Tensor:
        """Return draws of the prior made of white ``noise``. Shape ``(batch, length, 1)`` in and out."""
        return self.prior.draw(told.past, told.known, noise.squeeze(-1)).unsqueeze(-1)

    def output(self, x: Tensor, time: Tensor, told: Told, live: Tensor) -> Tensor:
        """Return what the network says; of a past that is only told, nothing: zeros.

        Parameters
        ----------
        x
            Noisy values. Shape ``(batch, length, 1)``.
        time
            Shape ``(batch,)``.
        told
            What is known of the windows.
        live
            Steps whose noisy value the network may see; a gap hides it in training and in sampling.
            Shape ``(batch, length)``.
        """
        first = 0
        if self.config.future_only:
            # The past is told; its noisy copy would only tell a network how the steps before this one went.
            live, first = live & self.is_future, self.config.context_length
        seen = x.masked_fill(~live.unsqueeze(-1), 0.0)
        time = self.process.network_time(time)
        said: Tensor = self.network(seen, time, told.condition, told.features, first=first)
        return nn.functional.pad(said, (0, 0, first, 0))

    def denoise(self, x: Tensor, time: Tensor, told: Told) -> Estimate:
        """Return clean values and noise as the network sees them when it forecasts.

        Shapes: ``x`` ``(batch, length, 1)``, scaled; ``time`` ``(batch,)``.
        """
        live = told.known | self.is_future
        return self.process.estimate(self.output(x, time, told, live), x, time)

    def window_losses(self, batch: WindowBatch, time: Tensor, noise: Tensor) -> Tensor:
        """Return the mean squared error of each window over the values that count. Shape ``(batch,)``."""
        told = self.told(batch)
        x0, counts = self.clean(batch, told), self._counts(batch).unsqueeze(-1)
        losses = window_losses(
            lambda x, time: self.output(x, time, told, batch.observed),
            self.process,
            x0,
            time,
            self.start(told, noise),
            mask=counts,
            min_snr=self.config.min_snr,
        )
        if self.guess is None:
            return losses
        # A window whose guess was useless would outweigh hundreds of others.
        square = x0.square().masked_fill(~counts, 0.0).sum((1, 2)) / counts.sum((1, 2)).clamp(min=1)
        return losses * (FARTHEST**2 / square.clamp(min=FARTHEST**2))

    def counted(self, batch: WindowBatch) -> Tensor:
        """Return the number of values that count in each window. Shape ``(batch,)``."""
        return self._counts(batch).sum(1)

    @torch.no_grad()
    def sample(
        self,
        batch: WindowBatch,
        num_samples: int,
        num_steps: int,
        generator: torch.Generator | None = None,
        *,
        sampler: Sampler | None = None,
        is_antithetic: bool = False,
        rows_at_once: int = 128,
    ) -> Tensor:
        """Draw forecasts.

        Parameters
        ----------
        batch
            Windows; their future is not read.
        num_samples
            Paths of each window, at least 1.
        num_steps
            Calls of the network, at least 1.
        generator
            Source of all noise; torch's global state where None.
        sampler
            By default Euler steps for a flow and DDIM for diffusion in steps.
        is_antithetic
            Whether the second half of the paths starts from the first half's noise with the sign turned: the
            mean of the starts is then exact. Of use with deterministic samplers.
        rows_at_once
            Paths that are computed together; a bound of memory. Deterministic samplers give the same numbers
            whatever it is, up to rounding.

        Returns
        -------
        Tensor
            Paths of the future in the unit of ``target``. Shape ``(batch, num_samples, prediction_length)``.

        Raises
        ------
        ValueError
            If a number is below 1.
        """
        if min(num_samples, num_steps, rows_at_once) < 1:
            found = f"{num_samples}, {num_steps}, {rows_at_once}"
            raise ValueError(f"num_samples, num_steps and rows_at_once must be at least 1; got {found}.")
        was_training = self.training
        self.eval()
        try:
            told = self.told(batch).repeat(num_samples)
            noise = self._noise(batch, num_samples, generator, is_antithetic=is_antithetic)
            paths = []
            for first in range(0, len(noise), rows_at_once):
                rows = slice(first, first + rows_at_once)
                part = told.rows(rows)
                drawn = (sampler or self._sampler()).sample(
                    partial(self.denoise, told=part),
                    self.process,
                    self.start(part, noise[rows]),
                    num_steps,
                    generator,
                )
                paths.append(part.restored(drawn)[:, self.config.context_length :, 0])
            scaled = torch.cat(paths).view(len(batch), num_samples, self.config.prediction_length)
            return batch.unscale(scaled)
        finally:
            self.train(was_training)

    def _noise(
        self,
        batch: WindowBatch,
        num_samples: int,
        generator: torch.Generator | None,
        *,
        is_antithetic: bool,
    ) -> Tensor:
        """Return white noise, all paths of a window beside each other. Shape ``(rows, length, 1)``."""
        drawn = -(-num_samples // 2) if is_antithetic else num_samples
        noise = normal_like(batch.target.new_empty(len(batch), drawn, self.config.length), generator)
        if is_antithetic:
            noise = torch.cat([noise, -noise], dim=1)[:, :num_samples]
        return noise.reshape(-1, self.config.length, 1)

    def _sampler(self) -> Sampler:
        return Euler() if self.config.dynamics == "flow" else DDIM()

    def _counts(self, batch: WindowBatch) -> Tensor:
        """Return which steps the loss counts. Shape ``(batch, length)``."""
        return batch.observed & self.is_future if self.config.future_only else batch.observed
