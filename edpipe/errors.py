"""Errors that a person can act on: what, where, found, expected, next step, and the state left."""

from __future__ import annotations


class EdpipeError(Exception):
    """A problem that the user can solve; shown without a traceback.

    Parameters
    ----------
    what
        What failed, as a full sentence.
    where
        File and row, ``table.column``, setting or flag.
    found
        The value or condition that was met.
    expected
        What would have been right.
    next_step
        The command or action that solves it.
    state
        What was left behind, for anything that writes.
    """

    exit_code = 1

    def __init__(
        self,
        what: str,
        *,
        where: str = "",
        found: str = "",
        expected: str = "",
        next_step: str = "",
        state: str = "",
    ) -> None:
        self.what = what
        self.where = where
        self.found = found
        self.expected = expected
        self.next_step = next_step
        self.state = state
        parts = [
            ("Where", where),
            ("Found", found),
            ("Expected", expected),
            ("Next step", next_step),
            ("State", state),
        ]
        lines = [what, *(f"  {label}: {text}" for label, text in parts if text)]
        super().__init__("\n".join(lines))


class SettingsError(EdpipeError):
    """A setting is unknown or its value is out of range."""

    exit_code = 2


class SourceError(EdpipeError):
    """A source file is missing, damaged or not of the expected format."""

    exit_code = 3


class ContractError(EdpipeError):
    """A query or its rows break a contract: an audit, a schema, a read-only database."""

    exit_code = 4


class WarehouseBusyError(EdpipeError):
    """Another process holds the warehouse for writing."""

    exit_code = 5


class TrainingError(EdpipeError):
    """Training cannot start or go on: non-finite loss, empty split, resume mismatch."""

    exit_code = 6


class RegistryError(EdpipeError):
    """A model, version or alias is not in the registry."""

    exit_code = 7
