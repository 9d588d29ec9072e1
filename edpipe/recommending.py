"""The verb that needs a trained recommender: recommend."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edpipe.errors import SettingsError
from edpipe.settings import Settings, load_settings

if TYPE_CHECKING:
    import polars as pl

    from edpipe.prediction.diffumin import TrainedRecommender
    from edpipe.prediction.recommend import History, Integers

MODEL = "diffumin"


@dataclass(frozen=True, slots=True, eq=False)
class RecommendRequest:
    """A recommender, a student and the items to choose from, opened and checked; nothing is scored yet.

    Attributes
    ----------
    trained
        The recommender.
    catalog
        Items: ``item_id, category_ids, part``.
    history
        What the student did.
    candidates
        Rows of the catalog to choose from. Shape ``(num_candidates,)``.
    version
        Registered version; None where a run was named.
    trained_in
        Folder of the run.
    """

    trained: TrainedRecommender
    catalog: pl.DataFrame
    history: History
    candidates: Integers
    version: int | None
    trained_in: Path

    @property
    def words(self) -> str:
        """Who answers, from what, and from how many items is chosen."""
        model = f"run {self.trained_in.name}" if self.version is None else f"{MODEL} version {self.version}"
        return f"{len(self.candidates):,} items by {model}, after {len(self.history.items):,} behaviors"


def recommend(
    student: str,
    settings: Settings | None = None,
    *,
    top: int = 10,
    part: int | None = None,
    is_new_only: bool | None = None,
    run_dir: Path | None = None,
) -> pl.DataFrame:
    """Return the items that a student would most likely take up next, and what speaks for each.

    Equal calls on equal data give equal rows, to the last bit.

    Parameters
    ----------
    student
        Published id.
    settings
        Default: :func:`edpipe.load_settings`.
    top
        Number of items.
    part
        Only items of this part.
    is_new_only
        Only items that the student never met; by default as ``settings.diffumin.is_new_only`` says.
    run_dir
        Folder of a training run; by default the champion of `diffumin`.

    Returns
    -------
    DataFrame
        ``rank, item_id, category_ids, part, probability, evidence``, the best first. Evidence lists the
        behaviors that weigh most: ``item_id, steps_back, channel, weight, channel_effect``; it is empty for
        a network without channels.

    Raises
    ------
    RegistryError
        If there is no champion.
    SettingsError
        If there is no such student or part, or the network cannot be asked.
    """
    settings = settings or load_settings()
    request = open_request(student, settings, part=part, is_new_only=is_new_only, run_dir=run_dir)
    return answer(request, top=top)


def open_request(
    student: str,
    settings: Settings,
    *,
    part: int | None = None,
    is_new_only: bool | None = None,
    run_dir: Path | None = None,
) -> RecommendRequest:
    """Open the recommender and the history of a call of :func:`recommend`; nothing is scored."""
    import numpy as np

    from edpipe.prediction.diffumin import load_recommender
    from edpipe.prediction.histories import PublishedHistories
    from edpipe.prediction.recommend import candidate_rows

    version = None
    if run_dir is None:
        from edpipe.tracking.registry import champion

        chosen = champion(settings, MODEL)
        version, run_dir = chosen.version, settings.runs_dir / chosen.run_key
    trained = load_recommender(run_dir)
    histories = PublishedHistories(settings, str(trained.data["source"]), str(trained.data["log_name"]))
    history, catalog = histories.of(student), histories.catalog
    # A part is chosen first: the most popular items of it are candidates, not what is left of those of all.
    of_part = catalog if part is None else catalog.filter(part=part)
    if of_part.is_empty():
        known = sorted(catalog["part"].drop_nulls().unique().to_list())
        raise SettingsError(
            "There is no item of this part.",
            where="flag `--part`",
            found=str(part),
            expected=f"one of {', '.join(map(str, known))}" if known else "a source whose items have parts",
            next_step="Leave the flag out, or name another part.",
            state="Nothing was written.",
        )
    place = np.searchsorted(catalog["catalog_key"].to_numpy(), of_part["catalog_key"].to_numpy())
    candidates = place[candidate_rows(trained, of_part, settings.diffumin.num_candidates)].astype(np.int64)
    if settings.diffumin.is_new_only if is_new_only is None else is_new_only:
        candidates = candidates[~np.isin(candidates, history.met)]
    return RecommendRequest(trained, catalog, history, candidates, version, run_dir)


def answer(request: RecommendRequest, *, top: int = 10) -> pl.DataFrame:
    """Return the rows of a call of :func:`recommend`.

    Raises
    ------
    SettingsError
        If less than one item is asked for, or the network cannot be asked.
    """
    from dataclasses import asdict

    import polars as pl

    from edpipe.prediction.recommend import ItemScorer, ranked

    if top < 1:
        raise SettingsError(
            "The number of items is out of range.",
            where="flag `--top`",
            found=str(top),
            expected="at least 1",
            state="Nothing was written.",
        )
    scorer = ItemScorer(request.trained, request.catalog)
    probabilities = scorer.probabilities(request.history, request.candidates)
    best = ranked(probabilities, request.candidates, top)
    rows = request.candidates[best].tolist()
    evidence = [[asdict(one) for one in scorer.reasons(request.history, row)] for row in rows]
    shown = request.catalog[rows] if rows else request.catalog.clear()
    return shown.select("item_id", "category_ids", "part").select(
        pl.int_range(1, pl.len() + 1, dtype=pl.Int32).alias("rank"),
        pl.all(),
        pl.Series("probability", probabilities[best], dtype=pl.Float64),
        pl.Series("evidence", evidence, dtype=pl.List(pl.Struct(_evidence_fields()))),
    )


def _evidence_fields() -> dict[str, pl.DataType | type[pl.DataType]]:
    import polars as pl

    whole, real = pl.Int32, pl.Float64
    return {
        "item_id": pl.String,
        "steps_back": whole,
        "channel": whole,
        "weight": real,
        "channel_effect": real,
    }
