# SPDX-License-Identifier: Apache-2.0
"""Hyper-parameters of the diffusion models of series, as plain values that a checkpoint can hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

from models.diffusion import Parameterization
from models.plain_values import config_of, one_of
from models.tsdiff.s4d import Discretization, Start

Schedule = Literal["linear", "cosine", "sigmoid", "given"]
Dynamics = Literal["flow", "diffusion"]
CenterKind = Literal["none", "seasonal_naive", "linear"]
PriorKind = Literal["white", "ornstein_uhlenbeck", "squared_exponential", "periodic", "seasonal_naive"]


@dataclass(frozen=True, slots=True)
class BackboneConfig:
    """What windows look like, and how large the network is.

    The defaults are the network of the paper with a diagonal state space.

    Attributes
    ----------
    context_length, prediction_length
        Steps seen and steps to forecast; a window holds both.
    hidden_size
        Width of the network.
    num_blocks
        Residual blocks, each with one long convolution.
    state_size
        Numbers in the state of a channel of the convolution, even.
    start, discretization
        See :class:`~models.tsdiff.s4d.S4D`.
    step_embedding_size
        Sines and cosines that tell the network the diffusion step, even, at least 4.
    dropout
        Share of activations dropped in training, in [0, 1).
    output_skip
        Whether the network's input is added to its output.
    split_gate
        Whether the two factors of a gate are made of two projections instead of the same values.
    scaled_residuals
        Whether sums are divided so that they keep their size: blocks by the square root of 2, what blocks
        hand to the output by the square root of their number.
    zero_output
        Whether the network begins with an output of 0 (the input, where ``output_skip`` is on).
    """

    kind: ClassVar[str] = ""

    context_length: int
    prediction_length: int
    hidden_size: int = 64
    num_blocks: int = 3
    state_size: int = 64
    start: Start = "legs"
    discretization: Discretization = "zero_order_hold"
    step_embedding_size: int = 128
    dropout: float = 0.0
    output_skip: bool = False
    split_gate: bool = False
    scaled_residuals: bool = False
    zero_output: bool = False

    def __post_init__(self) -> None:
        for name in ("context_length", "prediction_length", "hidden_size", "num_blocks"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1; got {getattr(self, name)}.")
        if self.state_size < 2 or self.state_size % 2:
            raise ValueError(f"state_size must be positive and even; got {self.state_size}.")
        if self.step_embedding_size < 4 or self.step_embedding_size % 2:
            found = self.step_embedding_size
            raise ValueError(f"step_embedding_size must be even and at least 4; got {found}.")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must lie in [0, 1); got {self.dropout}.")
        for name, kinds in (("start", Start), ("discretization", Discretization)):
            one_of(name, getattr(self, name), kinds)

    @property
    def length(self) -> int:
        """Steps of a window."""
        return self.context_length + self.prediction_length

    def to_dict(self) -> dict[str, Any]:
        """Return the values with the kind of model, for :func:`config_from_dict`."""
        return {"kind": self.kind, **asdict(self)}


@dataclass(frozen=True, slots=True)
class TSDiffConfig(BackboneConfig):
    """The unconditional model.

    Attributes
    ----------
    num_lags
        Lagged copies of the series that are diffused with it.
    num_diffusion_steps
        Diffusion steps, at least 2.
    schedule
        Noise schedule; ``given`` takes ``betas``.
    first_beta, last_beta
        Ends of a linear schedule.
    betas
        Noise variance of each step, where the schedule is given (one chosen from data, say).
    is_zero_terminal
        Whether the schedule is rescaled to end with noise alone, as sampling begins; noise cannot be what the
        network predicts then.
    parameterization
        What the network predicts.
    min_snr
        Bound of the min-SNR weights of the loss, above 0; None weighs all diffusion steps alike.
    """

    kind: ClassVar[str] = "tsdiff"

    num_lags: int = 0
    num_diffusion_steps: int = 100
    schedule: Schedule = "linear"
    first_beta: float = 1e-4
    last_beta: float = 0.1
    betas: tuple[float, ...] = ()
    is_zero_terminal: bool = False
    parameterization: Parameterization = "noise"
    min_snr: float | None = None

    def __post_init__(self) -> None:
        # Dataclasses with slots are new classes: a bare super() would look in the old one.
        BackboneConfig.__post_init__(self)
        if self.num_lags < 0:
            raise ValueError(f"num_lags must be at least 0; got {self.num_lags}.")
        check_diffusion(self)


@dataclass(frozen=True, slots=True)
class ConditionalConfig(BackboneConfig):
    """A forecaster that is told the past.

    Attributes
    ----------
    lags
        How many steps back each lag channel looks, in the order of the batch. Where a lag is smaller than
        the prediction length, the steps for which it would look into the future are masked.
    num_calendar
        Channels of the calendar that are told beside the past; 0 tells none.
    dynamics
        ``flow`` for flow matching, ``diffusion`` for noise in steps as in TSDiff-Cond.
    prior
        What the noisy end of a flow is drawn from; diffusion in steps takes ``white`` only.
    center
        What values are measured from, in units of how far off a season ago was in the context:
        ``seasonal_naive`` or a ``linear`` map of the context. The network then learns what these miss, alike
        in windows that are easy and hard to forecast; the prior is white. ``none`` diffuses the scaled values
        themselves.
    season
        Steps of a season, for the priors and centers that have one.
    prior_length
        Steps over which a prior stays correlated, above 0; seasons where the prior is ``periodic``.
    is_condition_early
        Whether the condition is also added to the input, so that the first convolution sees it.
    is_scale_told
        Whether the network is told the logarithm of a window's scale.
    future_only
        Whether future steps only are diffused: the network sees no noisy copy of the past that it is told,
        and the loss does not count it. The paper diffuses and counts whole windows.
    num_diffusion_steps, schedule, first_beta, last_beta, betas, is_zero_terminal, parameterization, min_snr
        As in :class:`TSDiffConfig`, for diffusion in steps.
    """

    kind: ClassVar[str] = "tsdiff_conditional"

    lags: tuple[int, ...] = ()
    num_calendar: int = 0
    dynamics: Dynamics = "flow"
    prior: PriorKind = "white"
    center: CenterKind = "none"
    season: int = 1
    prior_length: float = 4.0
    is_condition_early: bool = True
    is_scale_told: bool = False
    future_only: bool = False
    num_diffusion_steps: int = 100
    schedule: Schedule = "linear"
    first_beta: float = 1e-4
    last_beta: float = 0.1
    betas: tuple[float, ...] = ()
    is_zero_terminal: bool = False
    parameterization: Parameterization = "noise"
    min_snr: float | None = None

    def __post_init__(self) -> None:
        BackboneConfig.__post_init__(self)
        if any(lag < 1 for lag in self.lags):
            raise ValueError(f"lags must be at least 1; got {self.lags}.")
        if self.num_calendar < 0:
            raise ValueError(f"num_calendar must be at least 0; got {self.num_calendar}.")
        one_of("dynamics", self.dynamics, Dynamics)
        one_of("prior", self.prior, PriorKind)
        one_of("center", self.center, CenterKind)
        if self.center != "none" and self.prior != "white":
            raise ValueError(f"a center takes a white prior only; got {self.prior!r}.")
        if self.dynamics == "diffusion" and self.prior != "white":
            raise ValueError(f"diffusion in steps takes a white prior only; got {self.prior!r}.")
        if self.season < 1 or self.prior_length <= 0:
            found = f"{self.season} and {self.prior_length}"
            raise ValueError(f"season must be at least 1 and prior_length above 0; got {found}.")
        check_diffusion(self)

    @property
    def num_lags(self) -> int:
        """Lag channels of the batch."""
        return len(self.lags)


CONFIGS: dict[str, type[BackboneConfig]] = {
    config.kind: config for config in (TSDiffConfig, ConditionalConfig)
}


def config_from_dict(values: Mapping[str, Any]) -> BackboneConfig:
    """Return the configuration that :meth:`BackboneConfig.to_dict` described.

    Raises
    ------
    ValueError
        If the kind or a key is unknown.
    """
    return config_of(values, CONFIGS, "model")


def check_diffusion(config: TSDiffConfig | ConditionalConfig) -> None:
    """Refuse a noise schedule or loss that cannot be; its numbers are checked where it is built."""
    one_of("schedule", config.schedule, Schedule)
    one_of("parameterization", config.parameterization, Parameterization)
    if (config.schedule == "given") != bool(config.betas):
        raise ValueError(f"betas belong to the schedule 'given' and to no other; got {config.schedule!r}.")
    if config.is_zero_terminal and config.parameterization == "noise":
        raise ValueError("a schedule that ends with noise alone needs parameterization velocity or clean.")
    if config.min_snr is not None and config.min_snr <= 0:
        raise ValueError(f"min_snr must be above 0; got {config.min_snr}.")
