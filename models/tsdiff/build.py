# SPDX-License-Identifier: Apache-2.0
"""From a configuration to a network."""

from __future__ import annotations

from models.tsdiff.conditional import ConditionalForecaster
from models.tsdiff.config import BackboneConfig, ConditionalConfig, TSDiffConfig
from models.tsdiff.model import SeriesDiffusion
from models.tsdiff.tsdiff import TSDiff


def build_tsdiff(config: BackboneConfig) -> SeriesDiffusion:
    """Return a fresh model; its weights follow from torch's random state.

    Raises
    ------
    ValueError
        If no model belongs to this kind of configuration.
    """
    if isinstance(config, TSDiffConfig):
        return TSDiff(config)
    if isinstance(config, ConditionalConfig):
        return ConditionalForecaster(config)
    raise ValueError(f"no diffusion model of series belongs to {type(config).__name__}.")
