"""What SQLMesh tells while it builds: progress for the person, failures for the error message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlmesh.core.console import NoopConsole

from edpipe.warehouse.contract import plain_name

if TYPE_CHECKING:
    from edpipe.progress import Track


class BuildConsole(NoopConsole):
    """Follow the models of one build.

    Parameters
    ----------
    track
        Where progress is shown.
    """

    def __init__(self, track: Track) -> None:
        super().__init__()
        self._track = track
        self.seconds: dict[str, float] = {}
        self.failures: list[BaseException] = []

    def start_snapshot_evaluation_progress(self, snapshot: Any, audit_only: bool = False) -> None:
        """Name the model that is being built."""
        del audit_only
        self._track.note(plain_name(snapshot.name))

    def update_snapshot_evaluation_progress(
        self, snapshot: Any, interval: Any, batch_idx: int, duration_ms: int | None, *args: Any, **kwargs: Any
    ) -> None:
        """Count a model as built and audited."""
        del interval, batch_idx, args, kwargs
        name = plain_name(snapshot.name)
        self.seconds[name] = self.seconds.get(name, 0.0) + (duration_ms or 0) / 1000
        self._track.advance()

    def log_failed_models(self, errors: list[Any]) -> None:
        """Keep what failed."""
        self.failures.extend(errors)
