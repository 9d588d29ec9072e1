# SPDX-License-Identifier: Apache-2.0
"""Configurations from the plain values that a checkpoint holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar, get_args

Config = TypeVar("Config")


def config_of(values: Mapping[str, Any], configs: Mapping[str, type[Config]], noun: str) -> Config:
    """Return the configuration that its kind and fields describe.

    Parameters
    ----------
    values
        ``kind`` and the fields of its dataclass; lists stand for tuples, which some files do not know.
    configs
        Kind to dataclass.
    noun
        What a model of these is called.

    Raises
    ------
    ValueError
        If the kind or a key is unknown.
    """
    kind = values.get("kind")
    if not isinstance(kind, str) or kind not in configs:
        raise ValueError(f"kind must be one of {', '.join(sorted(configs))}; got {kind!r}.")
    config: Any = configs[kind]
    given = {key: value for key, value in values.items() if key != "kind"}
    unknown = given.keys() - {field.name for field in fields(config)}
    if unknown:
        raise ValueError(f"a {kind} {noun} has no {', '.join(sorted(unknown))}.")
    found: Config = config(
        **{key: tuple(value) if isinstance(value, list) else value for key, value in given.items()}
    )
    return found


def one_of(name: str, found: str, kinds: Any) -> None:
    """Refuse a value that is none of a literal type's."""
    if found not in get_args(kinds):
        raise ValueError(f"{name} must be one of {', '.join(get_args(kinds))}; got {found!r}.")
