"""Seeded students with known mastery, written in EdNet's published formats byte for byte."""

from edpipe.sources.synthetic.ednet import LEVELS, Level, write_ednet
from edpipe.sources.synthetic.truth import SyntheticEdNet

__all__ = ["LEVELS", "Level", "SyntheticEdNet", "write_ednet"]
