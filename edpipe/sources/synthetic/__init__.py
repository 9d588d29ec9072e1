"""Seeded students with known mastery, written in the published formats byte for byte."""

from edpipe.sources.synthetic.assistments import SyntheticAssistments, write_assistments
from edpipe.sources.synthetic.ednet import LEVELS, Level, write_ednet
from edpipe.sources.synthetic.interests import SyntheticInterests, write_interests
from edpipe.sources.synthetic.interests_truth import PlantedTruth, read_truth, save_truth
from edpipe.sources.synthetic.simulator import StudentSimulator, simulate_students
from edpipe.sources.synthetic.truth import SyntheticEdNet
from edpipe.sources.synthetic.tutor_datashop import write_datashop_steps, write_datashop_transactions
from edpipe.sources.synthetic.tutor_kddcup import write_kddcup
from edpipe.sources.synthetic.tutor_mathia import write_mathia
from edpipe.sources.synthetic.tutor_truth import SyntheticTutor
from edpipe.sources.synthetic.tutor_world import TutorWorld, draw_tutor_world

__all__ = [
    "LEVELS",
    "Level",
    "PlantedTruth",
    "StudentSimulator",
    "SyntheticAssistments",
    "SyntheticEdNet",
    "SyntheticInterests",
    "SyntheticTutor",
    "TutorWorld",
    "draw_tutor_world",
    "read_truth",
    "save_truth",
    "simulate_students",
    "write_assistments",
    "write_datashop_steps",
    "write_datashop_transactions",
    "write_ednet",
    "write_interests",
    "write_kddcup",
    "write_mathia",
]
