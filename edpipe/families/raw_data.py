"""Where a source's rows came from, for cards and for refusing what is not there or has changed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from edpipe.errors import SettingsError, TrainingError
from edpipe.raw import landed

if TYPE_CHECKING:
    from edpipe.settings import Settings
    from edpipe.training.run import TrainingRun


def is_synthetic(settings: Settings, source: str) -> bool:
    """Tell whether all raw rows of a source are synthetic, as their licences say."""
    return all(one.licence.startswith("none") for one in landed(settings.raw_dir) if one.source == source)


def source_manifest(settings: Settings, source: str) -> str:
    """Return fingerprint, release, licence and rows of each raw relation of a source, as JSON."""
    return json.dumps(
        {
            f"{manifest.source}.{manifest.relation}": {
                "fingerprint": manifest.fingerprint,
                "release": manifest.release,
                "licence": manifest.licence,
                "rows": manifest.rows,
            }
            for manifest in landed(settings.raw_dir)
            if manifest.source == source
        }
    )


def refuse_absent_source(settings: Settings, model: str, source: str, *, among: tuple[str, ...] = ()) -> None:
    """Refuse a source of which nothing has been ingested, while others have.

    Parameters
    ----------
    settings
        Where the raw rows are.
    model
        Family that would learn from it.
    source
        Source that was asked for.
    among
        Sources that the family can learn from; empty for all.

    Raises
    ------
    SettingsError
        With the sources that are there.
    """
    landed_sources = {manifest.source for manifest in landed(settings.raw_dir)}
    if not landed_sources or source in landed_sources:
        return
    usable = sorted(one for one in landed_sources if not among or one in among)
    if usable:
        expected, next_step = (
            f"one of {', '.join(usable)}",
            f"Add `--source {usable[0]}`, or ingest {source!r}.",
        )
    else:
        expected = f"a tutor log: one of {', '.join(among)}"
        next_step = f"Run `edpipe ingest {among[0]} FILE` and `edpipe build`."
    raise SettingsError(
        f"Nothing of the source {source!r} has been ingested.",
        where=f"flag `--source`, setting `{model}.source`",
        found=f"{', '.join(sorted(landed_sources))} in {settings.raw_dir}",
        expected=expected,
        next_step=next_step,
        state="Nothing was written.",
    )


def refuse_changed_data(run: TrainingRun, fingerprint: str) -> None:
    """Refuse data other than the run was trained on: their splits may differ.

    Raises
    ------
    TrainingError
        With both fingerprints.
    """
    if fingerprint != run.fingerprint:
        raise TrainingError(
            "The training examples have changed since this run was trained.",
            where=str(run.run_dir),
            found=f"fingerprint {fingerprint}",
            expected=run.fingerprint,
            next_step=f"Run `edpipe train {run.model}` for a run on the present data.",
            state="Nothing was changed.",
        )
