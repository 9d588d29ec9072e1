"""Global flags, turned into settings when a command needs them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from edpipe.errors import SettingsError

if TYPE_CHECKING:
    from edpipe.settings import Settings


@dataclass(frozen=True, slots=True)
class Options:
    """What stood before the command's name."""

    home: Path | None = None
    preset: str | None = None
    progress: str | None = None
    config: Path | None = None
    values: tuple[str, ...] = ()
    debug: bool = False


def settings_of(context: typer.Context, *, default_preset: str | None = None, **flags: Any) -> Settings:
    """Read the settings, with the global flags and those of the command on top."""
    # Pydantic takes a tenth of a second to import, which `--help` need not wait for.
    from edpipe.settings import load_settings

    options: Options = context.obj or Options()
    if options.config is not None and not options.config.exists():
        raise SettingsError(
            "The settings file does not exist.",
            where="flag `--config`",
            found=str(options.config),
            expected="an existing TOML file",
        )
    given = _nested(options.values)
    for key, value in flags.items():
        given[key] = {**given.get(key, {}), **value} if isinstance(value, dict) else value
    return load_settings(
        options.preset or default_preset,
        file=options.config,
        **{"home": options.home, "progress": options.progress, **given},
    )


def _nested(values: tuple[str, ...]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for text in values:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise SettingsError(
                "A `--set` flag cannot be read.",
                where="flag `--set`",
                found=repr(text),
                expected="GROUP.NAME=VALUE, for example `tracing.size=64`",
            )
        *groups, last = name.split(".")
        inner = nested
        for group in groups:
            inner = inner.setdefault(group, {})
        inner[last] = _value(value)
    return nested


def _value(text: str) -> object:
    """Read a list, such as ``[0.1, 0.5]``; the settings read all else."""
    if not text.startswith("["):
        return text
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
