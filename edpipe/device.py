"""Where networks compute when they are asked, not trained."""

from __future__ import annotations


def sampling_device(accelerator: str) -> str:
    """Return where networks sample, from Lightning's name of an accelerator: ``cuda`` or ``cpu``."""
    import torch

    if accelerator in {"auto", "gpu", "cuda"} and torch.cuda.is_available():
        return "cuda"
    return "cpu"
