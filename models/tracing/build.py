# SPDX-License-Identifier: Apache-2.0
"""From a configuration to a network."""

from __future__ import annotations

from models.tracing.attention import AttentionTracer
from models.tracing.config import AttentionConfig, DKTConfig, TracerConfig
from models.tracing.dkt import DKT
from models.tracing.tracer import KnowledgeTracer


def build_tracer(config: TracerConfig) -> KnowledgeTracer:
    """Return a fresh tracer; its weights follow from torch's random state.

    Raises
    ------
    ValueError
        If no tracer belongs to this kind of configuration.
    """
    if isinstance(config, AttentionConfig):
        return AttentionTracer(config)
    if isinstance(config, DKTConfig):
        return DKT(config)
    raise ValueError(f"no tracer belongs to {type(config).__name__}.")
