"""What the replay of recommendations is played with: a world, and models trained on logs of other students.

Nothing here knows the truth but :class:`~edpipe.sources.synthetic.StudentSimulator` itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl

from edpipe import load_settings
from edpipe.datasets.impressions import ImpressionDataset, ImpressionOptions
from edpipe.datasets.impressions_writer import write_impression_dataset
from edpipe.datasets.tracing import TracingDataset
from edpipe.datasets.tracing_writer import Catalog, write_tracing_dataset
from edpipe.mastery.kc_learning import ItemKCs, KCLearning
from edpipe.prediction.diffumin import TrainedRecommender, load_recommender
from edpipe.prediction.tracing import LoadedTracer, load_tracer
from edpipe.sources.synthetic import StudentSimulator, simulate_students
from edpipe.training.diffumin import train_diffumin
from edpipe.training.tracing import train_tracing

NUM_ITEMS = 300
NUM_TRAINING = 600
MOST_NEW = 300
ANSWERS_PER_STUDENT = 80
SHORTEST, LONGEST = 10, 200
OUTCOMES = ("correct", "incorrect")
TRACER = {"model": "dkt", "size": 32, "num_layers": 1, "learning_rate": 5e-3, "accelerator": "cpu"}
RECOMMENDER = {"accelerator": "cpu", "max_epochs": 2}


@dataclass(frozen=True, eq=False)
class World:
    """Students, the first of whom are learned from; the others are new."""

    seed: int
    simulator: StudentSimulator
    folder: Path

    @classmethod
    def draw(cls, seed: int, home: Path) -> World:
        """Draw a world."""
        simulator = simulate_students(
            NUM_TRAINING + MOST_NEW, NUM_ITEMS, seed=seed, answers_per_student=ANSWERS_PER_STUDENT
        )
        folder = home / str(seed)
        folder.mkdir(parents=True, exist_ok=True)
        return cls(seed, simulator, folder)

    def new_students(self, number: int) -> StudentSimulator:
        """Return new students with a past of ordinary length."""
        counts = np.bincount(self.simulator.log["student"].to_numpy())
        fits = (counts >= SHORTEST) & (counts <= LONGEST) & (np.arange(len(counts)) >= NUM_TRAINING)
        return self.simulator.of(np.flatnonzero(fits)[:number])

    @cached_property
    def log(self) -> pl.DataFrame:
        """What the students did who are learned from."""
        return self.simulator.log.filter(pl.col("student") < NUM_TRAINING)

    @cached_property
    def catalog(self) -> pl.DataFrame:
        """Items as recommenders read them; row ``i`` is item ``i``."""
        return self.simulator.questions.select(
            pl.int_range(1, pl.len() + 1).alias("catalog_key"),
            "item_id",
            pl.col("kc_ids").alias("category_ids"),
            "part",
        )

    @cached_property
    def kc_ids(self) -> list[str]:
        """Ids of the KCs, in order of their numbers."""
        return [str(number) for number in self.simulator.contents.kc_numbers]

    @cached_property
    def item_kcs(self) -> ItemKCs:
        """KCs of all items."""
        return ItemKCs.of(self.catalog["category_ids"].to_list(), self.kc_ids)

    def answers_by_kc(self, log: pl.DataFrame) -> pl.DataFrame:
        """Return a log with a row an answer and KC: ``kc_id, student_key, is_correct``, in order."""
        sets = self.catalog.select(pl.col("catalog_key") - 1, kc_id="category_ids").explode("kc_id")
        return log.join(
            sets.drop_nulls(), left_on="item", right_on="catalog_key", maintain_order="left"
        ).select("kc_id", pl.col("student").alias("student_key"), "is_correct")

    @cached_property
    def learning(self) -> KCLearning:
        """Bayesian knowledge tracing of the other students."""
        return KCLearning.fit(self.answers_by_kc(self.log), self.kc_ids)

    @cached_property
    def tracing_data(self) -> TracingDataset:
        """Answers as a tracer reads them; one student in ten validates, one tests."""
        key = {kc: number for number, kc in enumerate(self.kc_ids, 1)}
        sets = [[key[kc] for kc in kcs] for kcs in self.catalog["category_ids"].to_list()]
        items = self.catalog.select(pl.col("catalog_key").alias("item_key").cast(pl.Int32), "item_id")
        kcs = pl.DataFrame({"kc_key": list(key.values()), "kc_id": list(key)})
        split = pl.col("student") % 10
        frame = self.log.select(
            student_key=pl.col("student") + 1,
            split=pl.when(split == 8).then(pl.lit("valid")).when(split == 9).then(pl.lit("test"))
            .otherwise(pl.lit("train")),
            interaction_number="number",
            item_key=pl.col("item") + 1,
            is_correct="is_correct",
            elapsed_seconds="elapsed_seconds",
            lag_seconds=pl.lit(None, dtype=pl.Float64),
        )  # fmt: skip
        catalog = Catalog(items.with_columns(kc_keys=pl.Series(sets, dtype=pl.List(pl.Int32))), kcs)
        return write_tracing_dataset(
            self.folder / "datasets", [frame], catalog, source="synthetic", steps="questions"
        )

    @cached_property
    def tracer(self) -> LoadedTracer:
        """A tracer of the other students."""
        settings = load_settings("small", home=self.folder, progress="none", tracing=TRACER)
        return load_tracer(train_tracing(settings, dataset=self.tracing_data).run_dir)

    @cached_property
    def behaviors(self) -> ImpressionDataset:
        """Behaviors as a recommender reads them, with the next item not met before as target."""
        rows = self.log.select(
            student_key=pl.col("student") + 1,
            behavior_number="number",
            acted_milliseconds="timestamp",
            catalog_key=pl.col("item") + 1,
            outcome_key=pl.when("is_correct").then(1).otherwise(2),
        )
        names = ("catalog_key", "outcome_key")
        sequences = rows.group_by("student_key", maintain_order=True).agg(
            pl.len().alias("num_behaviors"),
            *(pl.col(name).alias(f"{name}s") for name in names),
            "acted_milliseconds",
            earlier_catalog_keys=pl.lit([], dtype=pl.List(pl.Int64)).first(),
        )
        time = pl.col("acted_milliseconds")
        examples = (
            rows.with_columns(
                # What happened at the same time is not known yet.
                history_length=time.rank("min").over("student_key").cast(pl.Int64) - 1,
                is_first=pl.col("behavior_number")
                == pl.col("behavior_number").min().over("student_key", "catalog_key"),
            )
            .filter("is_first")
            .select(
                *("student_key", "behavior_number", "history_length"),
                requested_milliseconds=time,
                clicked=pl.lit(value=True),
            )
        )
        return write_impression_dataset(
            self.folder / "datasets",
            [sequences],
            [examples],
            catalog=self.catalog,
            outcomes=pl.DataFrame({"outcome_key": [1, 2], "outcome": OUTCOMES}),
            options=ImpressionOptions(source="synthetic", log_name="answers", target="next_item"),
        )

    @cached_property
    def recommender(self) -> TrainedRecommender:
        """A recommender of the other students' next items."""
        settings = load_settings("small", home=self.folder, progress="none", diffumin=RECOMMENDER)
        return load_recommender(train_diffumin(settings, dataset=self.behaviors).run_dir)
