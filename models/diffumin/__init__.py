"""Click-through prediction with long behavior sequences: DiffuMIN, and the models to compare it with."""

from models.diffumin.build import build_diffumin
from models.diffumin.config import DiffuMINConfig, config_from_dict
from models.diffumin.long_term import LongTermBlock
from models.diffumin.model import DiffuMIN
from models.diffumin.presets import preset

__all__ = [
    "DiffuMIN",
    "DiffuMINConfig",
    "LongTermBlock",
    "build_diffumin",
    "config_from_dict",
    "preset",
]
