"""Packages of other authors that are compared with, imported only when used."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from edpipe.errors import SettingsError


def require_peer(module: str, forecaster: str) -> Any:
    """Return a module of the extra `peers`.

    Parameters
    ----------
    module
        Name to import.
    forecaster
        Who asks, for the message.

    Raises
    ------
    SettingsError
        If the package is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        package = module.split(".", maxsplit=1)[0]
        if error.name is None or error.name.split(".", maxsplit=1)[0] != package:
            raise
        raise SettingsError(
            "A package to compare with is not installed.",
            where=f"forecaster `{forecaster}`",
            found=f"no package `{package}`",
            expected="the extra `peers`",
            next_step="Run `pip install -e '.[peers]'`, in an environment of its own if you like.",
        ) from error
