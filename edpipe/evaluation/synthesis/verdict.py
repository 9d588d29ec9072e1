"""What the figures say of a release, in a sentence."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from edpipe.evaluation.synthesis.measured import Measured

Finding = Literal["leaks", "doubtful", "no_sign"]


@dataclass(frozen=True, slots=True)
class _Limit:
    """Of a figure: what it is where nothing leaks, and from where on it is more than a trifle."""

    nothing: float
    tolerated: float
    words: str


_LIMITS: Final = {
    "closer_to_training": _Limit(
        0.5, 0.55, "{} of synthetic windows lie nearer to training than to held-out"
    ),
    "near_copies": _Limit(0.05, 0.10, "{} are nearer to a training window than 95 % of held-out windows are"),
    "membership_distance": _Limit(0.5, 0.55, "the release tells who was trained on with AUC {}"),
    "membership_loss": _Limit(0.5, 0.55, "the model itself tells it with AUC {}"),
}
_SHARES: Final = ("closer_to_training", "near_copies")
_OPENINGS: Final[dict[Finding, str]] = {
    "leaks": "leaks what it was trained on; do not release it",
    "doubtful": "may leak; release it only to those who may see the training data",
    "no_sign": "shows no sign of leaking beyond what these tests can see",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """A finding on one generator, and the sentence that gives its reasons."""

    generator: str
    finding: Finding
    sentence: str


def verdict(
    generator: str, measured: Mapping[str, Measured], control: Mapping[str, Measured] | None = None
) -> Verdict:
    """Judge a release by the figures of leakage.

    It leaks if the whole interval of a figure lies beyond what is tolerated, is doubtful if the interval lies
    beyond what nothing leaking gives or the figure itself beyond what is tolerated, and otherwise shows no
    sign. A figure that a generator which copies nothing reaches, too, tells of series that change over time,
    and weighs no more than a doubt. Absence of a sign is no proof: these are tests, not a guarantee such as
    differential privacy gives.

    Parameters
    ----------
    generator
        Its name.
    measured
        By metric; those of leakage are read.
    control
        The same figures of a generator that can copy nothing.

    Raises
    ------
    ValueError
        If there is no figure of leakage.
    """
    known = {name: measured[name] for name in _LIMITS if name in measured}
    if not known:
        raise ValueError(f"there must be a figure of leakage: one of {', '.join(_LIMITS)}.")
    weights = {name: _weight(name, one, (control or {}).get(name)) for name, one in known.items()}
    heaviest = max(weights.values())
    finding: Finding = ("no_sign", "doubtful", "leaks")[heaviest]
    told = [name for name in known if weights[name] == heaviest]
    reasons = "; ".join(
        _LIMITS[name].words.format(known[name].words(is_share=name in _SHARES)) for name in told
    )
    if heaviest == 1 and any(_weight(name, known[name], None) == 2 for name in told):
        reasons += ", but a generator that copies nothing comes near to that, too"
    return Verdict(generator, finding, f"{generator} {_OPENINGS[finding]}: {reasons}.")


def _weight(name: str, one: Measured, control: Measured | None) -> int:
    """Return 2 for a leak, 1 for a doubt, 0 for no sign."""
    limit = _LIMITS[name]
    # Without an interval the figure stands for its lower end.
    low = one.value if math.isnan(one.low) else one.low
    if low > limit.tolerated:
        is_drift = control is not None and control.value > limit.nothing and control.high >= low
        return 1 if is_drift else 2
    return 1 if low > limit.nothing or one.value > limit.tolerated else 0
