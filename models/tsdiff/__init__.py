"""Diffusion models of time series: one for any question asked of a series, and quick forecasters."""

from models.tsdiff.backbone import Backbone
from models.tsdiff.build import build_tsdiff
from models.tsdiff.conditional import ConditionalForecaster
from models.tsdiff.conditions import Condition, GuidanceKind, observed_condition, sum_condition
from models.tsdiff.config import BackboneConfig, ConditionalConfig, TSDiffConfig, config_from_dict
from models.tsdiff.consistency import consistency_loss, distance_to_teacher
from models.tsdiff.constraints import Constraint, every
from models.tsdiff.guidance import SelfGuidance
from models.tsdiff.guided import guided_sample
from models.tsdiff.model import SeriesDiffusion
from models.tsdiff.refine import refine
from models.tsdiff.representative import representative_step, stepwise_losses
from models.tsdiff.s4d import S4D
from models.tsdiff.scenarios import Scenarios, best_of, effective_sample_size, reject, resample
from models.tsdiff.synthesis import draw_windows, series_losses
from models.tsdiff.tsdiff import TSDiff

__all__ = [
    "S4D",
    "Backbone",
    "BackboneConfig",
    "Condition",
    "ConditionalConfig",
    "ConditionalForecaster",
    "Constraint",
    "GuidanceKind",
    "Scenarios",
    "SelfGuidance",
    "SeriesDiffusion",
    "TSDiff",
    "TSDiffConfig",
    "best_of",
    "build_tsdiff",
    "config_from_dict",
    "consistency_loss",
    "distance_to_teacher",
    "draw_windows",
    "effective_sample_size",
    "every",
    "guided_sample",
    "observed_condition",
    "refine",
    "reject",
    "representative_step",
    "resample",
    "series_losses",
    "stepwise_losses",
    "sum_condition",
]
