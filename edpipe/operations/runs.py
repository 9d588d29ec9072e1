"""Record a run of a step: what ran, on what, how long, with how much memory, and how it ended."""

from __future__ import annotations

import hashlib
import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from typing import IO, TYPE_CHECKING

from edpipe.errors import EdpipeError
from edpipe.operations.memory import PeakMemory
from edpipe.operations.run_files import (
    GO_ON,
    LOG,
    Record,
    end_file,
    is_crowded,
    remove_if_alone,
    run_files_dir,
    start_file,
)

if TYPE_CHECKING:
    from edpipe.settings import Settings

# Id of the flow run that the steps of this thread belong to; whoever orders steps sets it.
FLOW_RUN: ContextVar[str] = ContextVar("flow_run", default="")
# Where everything is written, how progress is shown and what is scheduled change nothing in what is made.
NOT_IN_FINGERPRINT = {"home", "progress", "schedule"}
LONGEST_MESSAGE = 500
MOST_REFERENCES = 20
BUG = "This is no refusal but a failure: run the same step by hand with `edpipe --debug` to see where."


@dataclass(frozen=True, slots=True)
class Account:
    """What a run read and made, as far as it is known.

    Attributes
    ----------
    rows_in, rows_out
        Rows read and written.
    inputs, outputs
        References: paths, relations with their fingerprint, versions of models.
    is_up_to_date
        True where there was nothing to do.
    """

    rows_in: int | None = None
    rows_out: int | None = None
    inputs: Sequence[object] = ()
    outputs: Sequence[object] = ()
    is_up_to_date: bool = False


@dataclass(slots=True)
class Run:
    """A run while it lasts."""

    _tell: Callable[[], Account] = field(default=Account)

    def made(self, tell: Callable[[], Account]) -> None:
        """Say how to find out, once the work is done, what was read and made; it may fail without harm."""
        self._tell = tell

    def account(self) -> Account:
        """Return what was read and made; nothing where that cannot be found out."""
        try:
            return self._tell()
        except Exception as error:  # noqa: BLE001  (the step has succeeded: nothing may change that)
            LOG.warning("What a run made is left out of its record: %r.", error)
            return Account()


@contextmanager
def recorded(
    settings: Settings, step: str, *, family: str = "", source: str = "", is_dry_run: bool = False
) -> Iterator[Run]:
    """Leave one line in ``ops.runs`` about what happens inside: when it starts, and how it ended.

    Whatever goes wrong with the record is logged, and the step goes on. A step that fails before it has
    written anything into a home that was not there leaves no home, and so no line: its name was a mistake.

    Parameters
    ----------
    settings
        Where the records are, and what they say of the settings.
    step
        Verb: ``ingest``, ``build``, ``train``, …
    family
        Family of models, where there is one.
    source
        Source that is read, where there is one.
    is_dry_run
        Leave no line.
    """
    run = Run()
    if is_dry_run:
        yield run
        return
    record = _started(settings, step, family, source)
    is_new_home = not os.path.lexists(settings.home)
    file = _written_start(settings, record)
    clock, memory = time.monotonic(), PeakMemory()
    end: Record = {}
    try:
        yield run
        end = _succeeded(run.account())
    except Exception as error:
        end = {"outcome": "failed", **_told(error)}
        raise
    except BaseException as signal:
        # Ctrl-C, or whoever orders steps has stopped this one.
        end = {"outcome": "cancelled", **_told(signal), "next_step": GO_ON}
        raise
    finally:
        end |= {"ended_at": _now(), "seconds": round(time.monotonic() - clock, 3)}
        end["peak_memory_mib"] = round(memory.mib(), 1)
        _write_end(settings, record | end, file, is_new_home=is_new_home)


def settings_fingerprint(settings: Settings) -> str:
    """Return twelve characters that are equal where the settings, but for where and how shown, are."""
    text = settings.model_dump_json(exclude=NOT_IN_FINGERPRINT)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _started(settings: Settings, step: str, family: str, source: str) -> Record:
    now = datetime.now(UTC)
    return {
        "run_id": f"{now:%Y%m%dT%H%M%S%f}-{os.getpid()}-{secrets.token_hex(3)}",
        "step": step,
        "family": family or None,
        "source": source or None,
        "outcome": "running",
        "started_at": now.isoformat(),
        "edpipe_version": _version(),
        "settings_fingerprint": settings_fingerprint(settings),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "flow_run_id": FLOW_RUN.get() or None,
    }


def _version() -> str | None:
    # A checkout that is not installed has none; and a record never stops the step that it records.
    with suppress(metadata.PackageNotFoundError, OSError):
        return metadata.version("edpipe")
    return None


def _succeeded(account: Account) -> Record:
    return {
        "outcome": "skipped" if account.is_up_to_date else "succeeded",
        "rows_in": account.rows_in,
        "rows_out": account.rows_out,
        "inputs": _references(account.inputs),
        "outputs": _references(account.outputs),
    }


def _references(named: Sequence[object]) -> list[str]:
    """Return references as text; of very many the first, and how many more there are."""
    texts = [str(one) for one in named]
    more = len(texts) - MOST_REFERENCES
    return texts if more <= 0 else [*texts[:MOST_REFERENCES], f"… and {more} more"]


def _told(error: BaseException) -> Record:
    lines = str(error).strip().splitlines()
    return {
        "error_class": type(error).__name__,
        "error_message": lines[0][:LONGEST_MESSAGE] if lines else "",
        "next_step": error.next_step if isinstance(error, EdpipeError) else BUG,
    }


def _written_start(settings: Settings, record: Record) -> IO[bytes] | None:
    try:
        return start_file(run_files_dir(settings), record)
    except OSError as error:
        LOG.warning("This run of `%s` leaves no record in %s: %s.", record["step"], settings.ops_dir, error)
        return None


def _write_end(settings: Settings, record: Record, file: IO[bytes] | None, *, is_new_home: bool) -> None:
    if file is None:
        return
    try:
        end_file(run_files_dir(settings), record, file)
        if is_new_home and record["outcome"] == "failed":
            remove_if_alone(settings, record)
        elif is_crowded(run_files_dir(settings)):
            from edpipe.operations.run_table import put_together

            put_together(settings)
    except Exception as error:  # noqa: BLE001  (the step has ended: nothing may change how)
        LOG.warning("The record of this run of `%s` is not as it should be: %r.", record["step"], error)


def _now() -> str:
    return datetime.now(UTC).isoformat()
