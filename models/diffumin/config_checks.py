# SPDX-License-Identifier: Apache-2.0
"""What a configuration of a click-through network may not be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_origin, get_type_hints

from models.plain_values import one_of

if TYPE_CHECKING:
    from models.diffumin.config import DiffuMINConfig

LEAST = {
    1: (
        "num_outcomes", "field_size", "num_channels", "num_sampling_steps", "num_denoiser_layers",
        "num_denoiser_heads", "denoiser_expansion", "num_short_term_layers", "num_short_term_heads",
        "short_term_expansion", "num_attention_heads", "num_hash_bits", "hash_group_bits",
    ),
    0: (
        "num_context", "kept_count", "start_level", "max_negatives", "short_term_window", "num_retrieved",
        "diffusion_weight", "contrastive_weight", "search_weight", "category_field",
    ),
}  # fmt: skip
SHARES = ("kept_share", "negative_sample_rate")
POSITIVE = ("embedding_std", "temperature")


def check_config(config: DiffuMINConfig) -> None:
    """Refuse values that cannot be, alone or together.

    Raises
    ------
    ValueError
        With the name of the field, what was found and what is expected.
    """
    _check_literals(config)
    _check_numbers(config)
    _check_shares(config)
    _check_diffusion(config)
    _check_widths(config)
    if config.short_term_condition == "last_channel" and (
        config.short_term_history != "joint" or config.long_term != "diffumin"
    ):
        raise ValueError(
            "short_term_condition 'last_channel' needs long_term 'diffumin' and short_term_history 'joint'; "
            f"got {config.long_term!r} and {config.short_term_history!r}."
        )
    if not (config.has_interests or config.augmentation != "none"):
        raise ValueError("has_interests must be true where augmentation is 'none': nothing would be read.")


def _check_literals(config: DiffuMINConfig) -> None:
    for name, kinds in get_type_hints(type(config)).items():
        if get_origin(kinds) is Literal:
            one_of(name, getattr(config, name), kinds)


def _check_numbers(config: DiffuMINConfig) -> None:
    if not config.num_field_values or min(config.num_field_values) < 2:
        raise ValueError(
            "num_field_values must hold at least 2 (padding, unknown) for each of one or more fields; "
            f"got {config.num_field_values}."
        )
    for least, name in ((least, name) for least, names in LEAST.items() for name in names):
        if getattr(config, name) < least:
            raise ValueError(f"{name} must be at least {least}; got {getattr(config, name)}.")
    for name in ("mlp_sizes", "attention_sizes"):
        if not getattr(config, name) or min(getattr(config, name)) < 1:
            raise ValueError(f"{name} must hold one or more widths from 1; got {getattr(config, name)}.")


def _check_shares(config: DiffuMINConfig) -> None:
    for name in SHARES:
        if not 0 < getattr(config, name) <= 1:
            raise ValueError(f"{name} must lie in (0, 1]; got {getattr(config, name)}.")
    for name in POSITIVE:
        if getattr(config, name) <= 0:
            raise ValueError(f"{name} must be above 0; got {getattr(config, name)}.")
    if not 0 <= config.dropout < 1:
        raise ValueError(f"dropout must lie in [0, 1); got {config.dropout}.")


def _check_diffusion(config: DiffuMINConfig) -> None:
    level, steps = config.first_level, config.num_sampling_steps
    if not steps <= level <= config.num_diffusion_steps:
        raise ValueError(
            f"start_level must lie in num_sampling_steps to num_diffusion_steps, {steps} to "
            f"{config.num_diffusion_steps}; got {level}."
        )
    if config.sampler == "ancestral" and config.inference_noise != "drawn":
        raise ValueError(
            "an ancestral sampler draws new noise in each step, so inference_noise must be 'drawn'; "
            f"got {config.inference_noise!r}."
        )


def _check_widths(config: DiffuMINConfig) -> None:
    size = config.item_size
    if config.num_channels > size:
        raise ValueError(
            f"num_channels must be at most the width of an item, {size}, or no channels are orthonormal; "
            f"got {config.num_channels}."
        )
    for name in ("num_denoiser_heads", "num_short_term_heads", "num_attention_heads"):
        if size % getattr(config, name):
            raise ValueError(f"{name} must divide the width of an item, {size}; got {getattr(config, name)}.")
    if config.long_term == "sim_hard" and config.category_field >= config.num_fields:
        raise ValueError(
            f"category_field must be one of {config.num_fields} fields, from 0; got {config.category_field}."
        )
    if config.num_hash_bits % config.hash_group_bits:
        raise ValueError(
            f"hash_group_bits must divide num_hash_bits, {config.num_hash_bits}; "
            f"got {config.hash_group_bits}."
        )
