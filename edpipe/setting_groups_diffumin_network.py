"""The choices inside a recommender's network that its design page names; None is as the preset has it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from edpipe.setting_groups import Strict


class NetworkChoices(Strict):
    """Rules of channels, diffusion and contrast, each as in the preset unless it is given."""

    channels_from: Literal["target", "random", "table"] | None = Field(
        default=None,
        description="What channels depend on: the target item, or, as controls, nothing, or training alone.",
    )
    orthonormalization: Literal["qr", "cgs2", "polar"] | None = Field(
        default=None, description="How channels are made orthonormal."
    )
    percentile: Literal["column", "routed"] | None = Field(
        default=None,
        description="Of which behaviors a channel keeps the best: of all, or of those routed to it.",
    )
    pooling: Literal["mean", "sim", "released", "softmax", "max", "target_attn", "self_attn"] | None = Field(
        default=None, description="How the behaviors that a channel keeps become an interest."
    )
    has_overall: bool | None = Field(
        default=None,
        description="Whether the mean of all behaviors is one more interest, beside those of the channels.",
    )
    interest_scale: Literal["raw", "unit", "sqrt_d"] | None = Field(
        default=None, description="Length of an interest where noise is added to it."
    )
    start_rule: Literal["at_last", "uniform", "gaussian"] | None = Field(
        default=None, description="Where sampling starts."
    )
    num_sampling_steps: int | None = Field(default=None, ge=1, description="Calls of the denoiser.")
    start_level: int | None = Field(
        default=None, ge=0, description="Diffusion steps of noise at the start; 0 is one for each call."
    )
    parameterization: Literal["noise", "clean", "velocity"] | None = Field(
        default=None, description="What the denoiser is trained to say."
    )
    is_interest_detached: bool | None = Field(
        default=None, description="Whether the diffusion loss leaves the interests where they are."
    )
    is_channel_detached: bool | None = Field(
        default=None, description="Whether the diffusion loss leaves the channels where they are."
    )
    inference_noise: Literal["zero", "keyed", "drawn"] | None = Field(
        default=None,
        description="Noise at the start of sampling when not training: none, a function of student and item, "
        "or new.",
    )
    diffusion_weight: float | None = Field(
        default=None, ge=0, description="Weight of the loss of denoiser or autoencoder."
    )
    contrastive_weight: float | None = Field(default=None, ge=0, description="Weight of the contrast.")


CHOICES: tuple[str, ...] = tuple(NetworkChoices.model_fields)
