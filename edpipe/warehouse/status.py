"""What the warehouse holds, how old it is, and who is writing it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edpipe.raw import landed
from edpipe.settings import Settings
from edpipe.warehouse.lock import LockHolder, lock_holder
from edpipe.warehouse.state import is_current, predictions_fingerprint, read_state


@dataclass(frozen=True, slots=True)
class WarehouseStatus:
    """State of the warehouse.

    Parameters
    ----------
    relations
        Rows of each published relation.
    raw
        Rows of each raw relation.
    built_at
        UTC; empty when nothing was built.
    is_stale
        True where inputs, SQL or settings changed since, or nothing was built.
    has_new_predictions
        True where prediction files changed since publication.
    holder
        Who is writing now.
    published_bytes
        Size of the published file.
    """

    relations: dict[str, int]
    raw: dict[str, int]
    built_at: str
    is_stale: bool
    has_new_predictions: bool
    holder: LockHolder | None
    published_bytes: int

    def rows(self) -> list[dict[str, Any]]:
        """Return one row a published relation, for tables."""
        return [{"relation": name, "rows": rows} for name, rows in self.relations.items()]

    def lines(self) -> list[str]:
        """Say the rest in lines."""
        raw = ", ".join(f"{name} {rows:,}" for name, rows in self.raw.items()) or "nothing ingested"
        told = [f"Raw rows: {raw}."]
        if not self.built_at:
            told.append("Nothing has been built: run `edpipe build`.")
        elif self.is_stale:
            told.append(f"Built {self.built_at}; inputs, SQL or settings changed since: run `edpipe build`.")
        else:
            told.append(
                f"Built {self.built_at}; up to date, {self.published_bytes / 2**20:,.1f} MiB published."
            )
        if self.has_new_predictions:
            told.append("Prediction files changed since: run `edpipe publish`.")
        if self.holder:
            told.append(f"Being written by {self.holder}.")
        return told


def status(settings: Settings) -> WarehouseStatus:
    """Look at the warehouse without opening it: quick, and possible while another process builds."""
    state = read_state(settings)
    published = settings.published_path
    return WarehouseStatus(
        relations=state.rows,
        raw={f"{item.source}.{item.relation}": item.rows for item in landed(settings.raw_dir)},
        built_at=state.built_at,
        is_stale=not is_current(settings, state),
        has_new_predictions=bool(state.built_at) and state.predictions != predictions_fingerprint(settings),
        holder=lock_holder(settings),
        published_bytes=published.stat().st_size if published.exists() else 0,
    )
