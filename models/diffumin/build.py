# SPDX-License-Identifier: Apache-2.0
"""From a configuration to a network."""

from __future__ import annotations

from models.diffumin.config import DiffuMINConfig
from models.diffumin.din import DIN
from models.diffumin.hashing import ETA, SDIM
from models.diffumin.interest_block import MultiInterestBlock
from models.diffumin.long_term import LongTermBlock, MeanMatch, MeanPooling, NoLongTerm
from models.diffumin.model import DiffuMIN
from models.diffumin.sim import SIMHard, SIMSoft
from models.diffumin.twin import TWIN

BLOCKS: dict[str, type[LongTermBlock]] = {
    "diffumin": MultiInterestBlock,
    "none": NoLongTerm,
    "mean": MeanPooling,
    "mean_match": MeanMatch,
    "din": DIN,
    "sim_soft": SIMSoft,
    "sim_hard": SIMHard,
    "eta": ETA,
    "sdim": SDIM,
    "twin": TWIN,
}


def build_diffumin(config: DiffuMINConfig) -> DiffuMIN:
    """Return a fresh click-through network; its weights follow from torch's random state."""
    return DiffuMIN(config, BLOCKS[config.long_term](config))
