"""What each student has learnt of each KC, from the answers that the published warehouse holds now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from edpipe.errors import SettingsError
from edpipe.mastery.bkt_kernel import Float
from edpipe.mastery.kc_learning import ItemKCs, KCLearning

if TYPE_CHECKING:
    from edpipe.settings import Settings

# Answers by KC that the parameters are fitted to, of whole students: thousands for each of EdNet's KCs.
MOST_ANSWERS: Final = 1_000_000
KCS: Final = "select kc_id from core.kcs where source = ? order by kc_key"
TRAINING_ANSWERS: Final = """
    with practised as (
        select student_key, count(*) as num_answers
        from core.opportunities inner join core.students using (student_key)
        where opportunities.source = ? and split = 'train'
        group by student_key
    ), chosen as (
        select student_key from practised
        qualify sum(num_answers) over (order by hash(student_key), student_key) - num_answers < ?
    )
    select kc_id, student_key, is_correct
    from core.opportunities inner join chosen using (student_key) inner join core.kcs using (kc_key)
    order by kc_key, student_key, opportunity
"""
ANSWERS: Final = """
    select kc_id, student_key, is_correct
    from core.opportunities inner join core.kcs using (kc_key)
    where opportunities.source = ? and student_key between ? and ?
    order by student_key, kc_key, opportunity
"""
# Rows in any order give the same number.
DIGEST: Final = """
    select coalesce(bit_xor(hash(student_key, kc_key, opportunity, is_correct)), 0)
    from core.opportunities where source = ?
"""


@dataclass(eq=False)
class PublishedLearning:
    """Chances that students know the KCs of a source, by Bayesian knowledge tracing.

    Attributes
    ----------
    settings
        Where the published warehouse is.
    source
        Source of the answers.
    students_a_piece
        Answers of so many students, by key, are read at once; more than 1 for who asks in order of keys.
    """

    settings: Settings
    source: str
    students_a_piece: int = 1
    _piece: Mapping[int, pl.DataFrame] = field(default_factory=dict, init=False)
    _until: int = field(default=-1, init=False)
    _from: int = field(default=0, init=False)

    @cached_property
    def model(self) -> KCLearning:
        """Parameters of each KC, fitted to training students.

        Raises
        ------
        SettingsError
            If the source has no answer to an item with KCs.
        """
        answers = self._ask(TRAINING_ANSWERS, MOST_ANSWERS)
        if answers.is_empty():
            raise SettingsError(
                "Nothing is known of what students have learnt.",
                where=f"core.opportunities, source {self.source!r}",
                found="no answer of a training student to an item with knowledge components",
                expected="a source of right and wrong answers to items with knowledge components",
                next_step="Leave out `--hide-mastered` and `--by gain`, or set `diffumin.is_unmastered_only` "
                "to false and `diffumin.rank_by` to 'probability'.",
                state="Nothing was written.",
            )
        return KCLearning.fit(answers, self._ask(KCS)["kc_id"].to_list())

    @cached_property
    def digest(self) -> str:
        """What changes with any answer."""
        return str(self._ask(DIGEST).item())

    def items(self, catalog: pl.DataFrame) -> ItemKCs:
        """Return the KCs of the items of a catalog, from its ``category_ids``."""
        return ItemKCs.of(catalog["category_ids"].to_list(), self.model.kc_ids)

    def known(self, student_key: int) -> Float:
        """Return the chance that a student knows each KC now. Shape ``(num_kcs,)``."""
        if not self._from <= student_key <= self._until:
            self._from, self._until = student_key, student_key + self.students_a_piece - 1
            rows = self._ask(ANSWERS, self._from, self._until)
            self._piece = {int(frame["student_key"][0]): frame for frame in rows.partition_by("student_key")}
        nothing = pl.DataFrame(schema={"kc_id": pl.String, "is_correct": pl.Boolean})
        return self.model.known(self._piece.get(student_key, nothing))

    def _ask(self, query: str, *more: Any) -> pl.DataFrame:
        from edpipe import warehouse

        with warehouse.open_reader(self.settings) as connection:
            found: pl.DataFrame = connection.execute(query, [self.source, *more]).pl()
        return found
