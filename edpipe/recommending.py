"""The verb that needs a trained recommender: recommend."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from edpipe.errors import SettingsError
from edpipe.settings import Settings, load_settings

if TYPE_CHECKING:
    import polars as pl

    from edpipe.prediction.candidates import Candidates
    from edpipe.prediction.diffumin import TrainedRecommender
    from edpipe.prediction.recommend import History
    from edpipe.setting_groups_diffumin import DiffuMINSettings, RankBy

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
        Rows of the catalog to choose from, and what was left out.
    asked
        Rules and order.
    version
        Registered version; None where a run was named.
    trained_in
        Folder of the run.
    """

    trained: TrainedRecommender
    catalog: pl.DataFrame
    history: History
    candidates: Candidates
    asked: DiffuMINSettings
    version: int | None
    trained_in: Path

    @property
    def words(self) -> str:
        """Who answers, from what, from how many items is chosen, and how many each rule left out."""
        from edpipe.prediction.candidates import left_out_words

        model = f"run {self.trained_in.name}" if self.version is None else f"{MODEL} version {self.version}"
        chosen = (
            f"{len(self.candidates.rows):,} items by {model}, after {len(self.history.items):,} behaviors"
        )
        left_out = left_out_words(self.candidates.left_out, self.candidates.num_undated)
        return f"{chosen}; {left_out}" if left_out else chosen


def recommend(
    student: str,
    settings: Settings | None = None,
    *,
    top: int = 10,
    part: int | None = None,
    is_new_only: bool | None = None,
    is_unmastered_only: bool | None = None,
    mastered_from: float | None = None,
    rank_by: RankBy | None = None,
    now: datetime | None = None,
    run_dir: Path | None = None,
) -> pl.DataFrame:
    """Return the items that a student would most likely take up next, and what speaks for each.

    Or, of the items that are most likely, those that are expected to teach most.

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
        Only items that the student never met. This and the next three: by default as ``settings.diffumin``
        says.
    is_unmastered_only
        No items all of whose KCs the student has mastered.
    mastered_from
        Chance of knowing a KC from which it counts as mastered, in (0, 1].
    rank_by
        ``probability``, or ``gain``: the KCs that an attempt is expected to teach.
    now
        Time at which items must be deployed, UTC where it has no zone; by default that of the student's last
        behavior.
    run_dir
        Folder of a training run; by default the champion of `diffumin`.

    Returns
    -------
    DataFrame
        ``rank, item_id, category_ids, part, probability, evidence, overall_effect``, the best first, and
        ``gain`` before the evidence where ordered by it. Evidence lists the behaviors that weigh most:
        ``item_id, steps_back, channel, weight, channel_effect``; it is empty for a network without channels.
        The overall effect is what the mean of all behaviors adds to the logit, null where it is not read.

    Raises
    ------
    RegistryError
        If there is no champion.
    SettingsError
        If there is no such student or part, the network cannot be asked, a number is out of range, or a rule
        or the order needs to know what students have learnt and nothing is known.
    """
    request = open_request(
        student,
        settings or load_settings(),
        part=part,
        is_new_only=is_new_only,
        is_unmastered_only=is_unmastered_only,
        mastered_from=mastered_from,
        rank_by=rank_by,
        now=now,
        run_dir=run_dir,
    )
    return answer(request, top=top)


def open_request(
    student: str,
    settings: Settings,
    *,
    part: int | None = None,
    is_new_only: bool | None = None,
    is_unmastered_only: bool | None = None,
    mastered_from: float | None = None,
    rank_by: RankBy | None = None,
    now: datetime | None = None,
    run_dir: Path | None = None,
) -> RecommendRequest:
    """Open the recommender and the history of a call of :func:`recommend`; nothing is scored."""
    import numpy as np

    from edpipe.prediction.candidates import CandidateRules
    from edpipe.prediction.diffumin import load_recommender
    from edpipe.prediction.histories import PublishedHistories
    from edpipe.prediction.learning import PublishedLearning
    from edpipe.prediction.recommend import candidate_rows

    asked = _asked(
        settings.diffumin,
        is_new_only=is_new_only,
        is_unmastered_only=is_unmastered_only,
        mastered_from=mastered_from,
        rank_by=rank_by,
    )
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
    every = place[candidate_rows(trained, of_part, asked.num_candidates)].astype(np.int64)
    rules = CandidateRules(asked, histories, PublishedLearning(settings, histories.source), every)
    candidates = rules.of(history, now=None if now is None else _milliseconds(now))
    return RecommendRequest(trained, catalog, history, candidates, asked, version, run_dir)


def answer(request: RecommendRequest, *, top: int = 10) -> pl.DataFrame:
    """Return the rows of a call of :func:`recommend`.

    Raises
    ------
    SettingsError
        If less than one item is asked for, or the network cannot be asked.
    """
    from dataclasses import asdict

    import polars as pl

    from edpipe.prediction.recommend import ItemScorer, best_places

    if top < 1:
        raise SettingsError(
            "The number of items is out of range.",
            where="flag `--top`",
            found=str(top),
            expected="at least 1",
            state="Nothing was written.",
        )
    scorer = ItemScorer(request.trained, request.catalog)
    candidates = request.candidates
    probabilities = scorer.probabilities(request.history, candidates.rows)
    best = best_places(
        probabilities, candidates.rows, top, gains=candidates.gains, num_reranked=request.asked.num_reranked
    )
    rows = candidates.rows[best].tolist()
    gain = [] if candidates.gains is None else [pl.Series("gain", candidates.gains[best], dtype=pl.Float64)]
    grounds = [scorer.grounds(request.history, row) for row in rows]
    evidence = [[asdict(one) for one in found.reasons] for found in grounds]
    shown = request.catalog[rows] if rows else request.catalog.clear()
    return shown.select("item_id", "category_ids", "part").select(
        pl.int_range(1, pl.len() + 1, dtype=pl.Int32).alias("rank"),
        pl.all(),
        pl.Series("probability", probabilities[best], dtype=pl.Float64),
        *gain,
        pl.Series("evidence", evidence, dtype=pl.List(pl.Struct(_evidence_fields()))),
        pl.Series("overall_effect", [found.overall_effect for found in grounds], dtype=pl.Float64),
    )


def _asked(asked: DiffuMINSettings, **given: object) -> DiffuMINSettings:
    """Return the settings with what a call says otherwise."""
    changes = {name: value for name, value in given.items() if value is not None}
    mastered_from = changes.get("mastered_from", asked.mastered_from)
    if not isinstance(mastered_from, float | int) or not 0 < mastered_from <= 1:
        raise SettingsError(
            "The chance from which a KC counts as mastered is out of range.",
            where="flag `--mastered-from`",
            found=repr(mastered_from),
            expected="above 0, at most 1",
            state="Nothing was written.",
        )
    if changes.get("rank_by", asked.rank_by) not in {"probability", "gain"}:
        raise SettingsError(
            "The order of items is unknown.",
            where="flag `--by`",
            found=repr(changes["rank_by"]),
            expected="'probability' or 'gain'",
            state="Nothing was written.",
        )
    return asked.model_copy(update=changes)


def _milliseconds(now: datetime) -> int:
    """Return a time as milliseconds since 1970; one without a zone is UTC."""
    return round((now if now.tzinfo else now.replace(tzinfo=UTC)).timestamp() * 1_000)


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
