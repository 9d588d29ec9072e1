"""Read checkpoints without running what is in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edpipe.errors import TrainingError


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read tensors and plain values from a checkpoint, onto the CPU; nothing in it is executed.

    Raises
    ------
    TrainingError
        If it holds anything else, such as code, or is torn.
    """
    import pickle  # only for the name of its error
    import warnings

    import torch

    try:
        with warnings.catch_warnings():
            # Of other protocols of pickles: they are refused below or harmless.
            warnings.simplefilter("ignore", UserWarning)
            content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        told = str(error).strip() or type(error).__name__
        raise _refused(path, told.splitlines()[0]) from error
    if not isinstance(content, dict):
        raise _refused(path, type(content).__name__)
    return content


def _refused(path: Path, found: str) -> TrainingError:
    return TrainingError(
        "The checkpoint is not read: it is torn, or holds more than tensors and plain values.",
        where=str(path),
        found=found,
        expected="a checkpoint that `edpipe train` wrote; others could run code",
        next_step="Bring it back from a backup, or train again. Load it by other means only if you know who "
        "wrote it.",
        state="Nothing in it was executed.",
    )
