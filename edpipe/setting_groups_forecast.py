"""The settings of forecasts: which series, what kind of model, how it is trained and sampled."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from edpipe.setting_groups import Strict

Grain = Literal["hour", "day"]
# Context and prediction where the settings leave them open: four weeks of hours would be long to train.
DEFAULT_CONTEXT = {"hour": 168, "day": 56}
DEFAULT_PREDICTION = {"hour": 24, "day": 14}


class TSDiffSettings(Strict):
    """Forecasts of activity: series, split, model, training, sampling."""

    source: str = Field(default="ednet", description="Source whose activity is forecast.")
    grain: Grain = Field(default="day", description="Length of a step: hour or day.")
    series: Literal["all", "total", "part"] = Field(
        default="all", description="Series of the source as a whole, of its parts, or both together."
    )
    measure: Literal["interactions", "students", "accuracy"] = Field(
        default="interactions", description="What is forecast: counts, or the share of right answers."
    )
    file: str = Field(
        default="",
        description="CSV or Parquet with series_id, time, target to learn from instead of the warehouse.",
    )
    holes: Literal["zero", "mask"] = Field(
        default="zero", description="What a step without a row of `file` holds: zero (counts), or nothing."
    )
    min_students: int = Field(
        default=10, ge=1, description="A period with fewer students is suppressed: no model sees it."
    )
    min_scored: int = Field(
        default=20, ge=1, description="A share of right answers over fewer answers is not observed."
    )
    context_length: int = Field(
        default=0, ge=0, le=10_000, description="Steps a forecast sees; 0 is 56 days or 168 hours."
    )
    prediction_length: int = Field(
        default=0, ge=0, le=2_000, description="Steps forecast; 0 is 14 days or 24 hours."
    )
    lags: tuple[int, ...] = Field(
        default=(), description="Steps back that are shown beside the context; empty: those of the calendar."
    )
    num_windows: int = Field(default=4, ge=1, le=1_000, description="Rolling windows of a series' test.")
    model: Literal["flow", "one_step", "conditional", "unconditional"] = Field(
        default="flow",
        description="Told the past: flow matching, its one-step student, diffusion in steps (conditional); "
        "or TSDiff, which the past guides (unconditional).",
    )
    prior: Literal["white", "ornstein_uhlenbeck", "squared_exponential", "periodic", "seasonal_naive"] = (
        Field(default="white", description="What a flow starts from.")
    )
    center: Literal["none", "seasonal_naive", "linear"] = Field(
        default="seasonal_naive",
        description="Simple forecast that a flow starts around, in units of its error; needs a white prior.",
    )
    calendar: bool = Field(
        default=True, description="Whether a flow is told hour and weekday, or time of year, of each step."
    )
    transform: Literal["none", "sqrt", "log1p"] = Field(
        default="none",
        description="What values of at least 0 become before a network told the past sees them.",
    )
    scaling: Literal["context_mean", "series_mean", "standard", "robust"] = Field(
        default="context_mean", description="Rule for location and scale of a window."
    )
    hidden_size: int = Field(default=64, ge=4, le=1024, description="Width of the network.")
    num_blocks: int = Field(default=3, ge=1, le=24, description="Residual blocks.")
    state_size: int = Field(default=64, ge=2, le=512, description="State of a channel's convolution, even.")
    num_diffusion_steps: int = Field(
        default=100, ge=2, le=1_000, description="Diffusion steps of a model in steps."
    )
    schedule: Literal["linear", "cosine", "sigmoid", "zero_terminal", "chosen"] = Field(
        default="linear",
        description="How noise grows over diffusion steps; chosen is the curve under which training windows "
        "lose their structure most evenly.",
    )
    parameterization: Literal["auto", "noise", "clean", "velocity"] = Field(
        default="auto",
        description="What a model in steps predicts; auto is noise for the linear schedule, else velocity.",
    )
    curriculum: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Share of training in which drawn noise widens from the strongest to all; 0 is off.",
    )
    level_weight: float = Field(
        default=0.0,
        ge=0,
        le=2,
        description="Training windows of a series are as likely as its mean size to this power; 1 weighs "
        "series as the CRPS does, 0 all alike.",
    )
    dropout: float = Field(default=0.0, ge=0, lt=1, description="Share of activations dropped in training.")
    batch_size: int = Field(default=64, ge=1, description="Windows a batch.")
    batches_per_epoch: int = Field(default=128, ge=1, description="Batches an epoch.")
    learning_rate: float = Field(default=1e-3, gt=0, lt=1, description="Peak learning rate of AdamW.")
    weight_decay: float = Field(default=0.01, ge=0, lt=1, description="Weight decay of AdamW.")
    max_epochs: int = Field(default=40, ge=1, description="Most epochs.")
    patience: int = Field(default=8, ge=1, description="Epochs without better validation before the stop.")
    ema_decay: float = Field(
        default=0.999, ge=0, lt=1, description="Decay of the averaged weights; 0 is off."
    )
    is_refitted: bool = Field(
        default=True,
        description="Whether all is trained again, with the validation steps, once these chose how long.",
    )
    num_members: int = Field(
        default=1, ge=1, le=32, description="Networks of different seeds whose samples are put together."
    )
    num_samples: int = Field(default=100, ge=2, le=10_000, description="Sample paths of a forecast.")
    num_steps: int = Field(
        default=0, ge=0, le=1_000, description="Steps of the sampler; 0 is chosen on validation."
    )
    guidance: Literal["covariance", "quantile", "mean_square"] = Field(
        default="covariance", description="How the past guides the unconditional model."
    )
    guidance_scale: float = Field(
        default=0.0,
        ge=0,
        description="Strength of that guidance, where it has one; 0 is chosen on validation.",
    )
    calibration: Literal["spread", "offsets", "none"] = Field(
        default="spread", description="Correction of the spread, fitted on validation windows."
    )
    baselines: tuple[Literal["last_value", "seasonal_naive", "ridge", "boosted"], ...] = Field(
        default=("last_value", "seasonal_naive", "ridge", "boosted"),
        description="Forecasters that the model stands beside.",
    )
    peers: tuple[Literal["auto_ets", "auto_arima", "deepar", "tft", "patchtst"], ...] = Field(
        default=(), description="Forecasters of other packages (extra `peers`) beside it."
    )
    is_compiled: bool = Field(default=False, description="Compile the network; worth it in long trainings.")
    accelerator: str = Field(default="auto", description="Lightning's accelerator.")
    devices: str = Field(default="auto", description="Lightning's devices.")
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = Field(
        default="32-true", description="Lightning's precision."
    )
    strategy: str = Field(default="auto", description="Lightning's strategy.")
    bootstrap: int = Field(default=500, ge=0, description="Draws of series, or windows, for intervals.")

    @model_validator(mode="after")
    def _prior_or_center(self) -> Self:
        if self.center != "none" and self.prior != "white":
            raise ValueError(
                "a flow starts from a prior or around a center; set center to none for "
                f"prior {self.prior}, or prior to white for center {self.center}"
            )
        return self

    @model_validator(mode="after")
    def _transform_is_for_the_told(self) -> Self:
        if self.transform != "none" and self.model == "unconditional":
            raise ValueError(
                f"transform {self.transform} is for models that are told the past; set it to none"
            )
        return self

    @model_validator(mode="after")
    def _state_is_even(self) -> Self:
        if self.state_size % 2:
            raise ValueError(f"state_size must be even; got {self.state_size}")
        if any(lag < 1 for lag in self.lags) or len(set(self.lags)) < len(self.lags):
            raise ValueError(f"lags must be distinct and at least 1; got {list(self.lags)}")
        return self

    @model_validator(mode="after")
    def _steps_can_be_sampled(self) -> Self:
        if self.schedule == "zero_terminal" and self.parameterization == "noise":
            raise ValueError(
                "schedule zero_terminal ends with noise alone, where noise cannot be what is predicted; set "
                "parameterization to auto, velocity or clean"
            )
        if self.is_in_steps and self.num_steps > self.num_diffusion_steps:
            raise ValueError(
                f"num_steps may be at most num_diffusion_steps, {self.num_diffusion_steps}, for model "
                f"{self.model}; got {self.num_steps}"
            )
        return self

    @property
    def is_in_steps(self) -> bool:
        """Whether the model diffuses in a number of steps, with a noise schedule."""
        return self.model in {"conditional", "unconditional"}

    @property
    def context(self) -> int:
        """Steps a forecast sees, with the default of the grain."""
        return self.context_length or DEFAULT_CONTEXT[self.grain]

    @property
    def prediction(self) -> int:
        """Steps forecast, with the default of the grain."""
        return self.prediction_length or DEFAULT_PREDICTION[self.grain]
