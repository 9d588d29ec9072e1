"""Seeded students with known mastery, written in the published formats byte for byte."""

from edpipe.sources.synthetic.assistments import SyntheticAssistments, write_assistments
from edpipe.sources.synthetic.ednet import LEVELS, Level, write_ednet
from edpipe.sources.synthetic.truth import SyntheticEdNet

__all__ = [
    "LEVELS",
    "Level",
    "SyntheticAssistments",
    "SyntheticEdNet",
    "write_assistments",
    "write_ednet",
]
