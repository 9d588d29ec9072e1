"""Knowledge tracing: networks that predict whether the next answer is right."""

from models.tracing.attention import AttentionTracer
from models.tracing.build import build_tracer
from models.tracing.config import AttentionConfig, DKTConfig, TracerConfig, config_from_dict
from models.tracing.dkt import DKT
from models.tracing.tracer import KnowledgeTracer

__all__ = [
    "DKT",
    "AttentionConfig",
    "AttentionTracer",
    "DKTConfig",
    "KnowledgeTracer",
    "TracerConfig",
    "build_tracer",
    "config_from_dict",
]
