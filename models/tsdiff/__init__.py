"""Diffusion models of time series: one for any question asked of a series, and quick forecasters."""

from models.tsdiff.backbone import Backbone
from models.tsdiff.build import build_tsdiff
from models.tsdiff.config import BackboneConfig, ConditionalConfig, TSDiffConfig, config_from_dict
from models.tsdiff.model import SeriesDiffusion
from models.tsdiff.s4d import S4D
from models.tsdiff.tsdiff import TSDiff

__all__ = [
    "S4D",
    "Backbone",
    "BackboneConfig",
    "ConditionalConfig",
    "SeriesDiffusion",
    "TSDiff",
    "TSDiffConfig",
    "build_tsdiff",
    "config_from_dict",
]
