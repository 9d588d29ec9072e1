# SPDX-License-Identifier: Apache-2.0
"""Named settings: the paper to the letter, the published code, and the repairs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from models.diffumin.config import DiffuMINConfig

# Equations 2 to 24 as printed. What the paper leaves open (length of an interest, order in the short-term
# encoder, what the prediction reads besides) stays as plain as it can be.
PAPER: dict[str, Any] = {
    "augmentation": "diffusion",
    "has_overall": False,
    "pooling": "mean",
    "interest_scale": "raw",
    "start_rule": "uniform",
    "num_sampling_steps": 10,
    "start_level": 0,
    "sampler": "ancestral",
    "inference_noise": "drawn",
    "is_interest_detached": True,  # "fixed" in its text
    "noisy_mark": "unmarked",
    "has_output_head": False,
    "is_same_student_masked": False,
    "short_term_history": "joint",
    "has_positions": False,
    "has_matches": False,
    "has_input_norm": False,
    "has_batch_norm": False,
    "has_target": False,
}
# What the published code does where it differs from the paper, repaired just enough to run. Its losses but
# the click's are computed by nothing, so their weights are 0.
RELEASED: dict[str, Any] = PAPER | {
    "kept_count": 100,
    "pooling": "released",
    "parameterization": "clean",
    "sampling_parameterization": "noise",
    "interest_scale": "unit",
    "variance": "posterior",
    "is_interest_detached": False,
    "attention_scale": "keys",
    "contrastive_head": "mlp",
    "diffusion_weight": 0.0,
    "contrastive_weight": 0.0,
    "short_term_condition": "last_channel",
    "has_batch_norm": True,
    "has_logit_norm": True,
    "has_target": True,
}
# Measured: the diffusion does not beat its controls, so the repaired network goes without it.
PRESETS: dict[str, dict[str, Any]] = {
    "default": {"augmentation": "none"},
    "paper": PAPER,
    "released": RELEASED,
}


def preset(name: str, num_field_values: tuple[int, ...], **changes: Any) -> DiffuMINConfig:
    """Return the configuration of a preset, with sizes and any other field as given.

    Parameters
    ----------
    name
        ``default`` (the paper with its gaps repaired), ``paper`` (its equations literally) or ``released``
        (what the published code does).
    num_field_values
        See :class:`~models.diffumin.config.DiffuMINConfig`.
    changes
        Fields that differ from the preset.

    Raises
    ------
    ValueError
        If there is no such preset, or a value cannot be.
    """
    if name not in PRESETS:
        raise ValueError(f"preset must be one of {', '.join(PRESETS)}; got {name!r}.")
    return replace(DiffuMINConfig(num_field_values), **(PRESETS[name] | changes))
