"""What the logged models are asked to give the rows of the prediction tables once more, and those rows.

Each function returns the table a logged model takes, and the values that batch scoring wrote for it, made
comparable: both with the same keys.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl

import edpipe
from edpipe.settings import Settings

NUM_STUDENTS = 3
NUM_KCS = 8


@dataclass(frozen=True)
class Asked:
    """Rows for a logged model, and how its answers become rows of the prediction table.

    Attributes
    ----------
    rows
        The table it takes.
    expected
        Keys and values that batch scoring wrote.
    values
        Columns that are compared.
    answer
        Turns the answers, a row a row or otherwise, into rows of the same keys.
    """

    rows: pl.DataFrame
    expected: pl.DataFrame
    values: tuple[str, ...]
    answer: Callable[[pl.DataFrame], pl.DataFrame]

    def assert_same(self, answers: pl.DataFrame) -> None:
        """Compare row by row."""
        keys = [name for name in self.expected.columns if name not in self.values]
        found = self.expected.join(self.answer(answers), on=keys, how="full", suffix="_served", coalesce=True)
        assert found.height == self.expected.height > 0
        for name in self.values:
            if found.schema[name] == pl.String:
                assert found[name].to_list() == found[f"{name}_served"].to_list()
            else:
                np.testing.assert_allclose(found[f"{name}_served"], found[name], atol=2e-5, rtol=2e-5)


def tracing(settings: Settings) -> Asked:
    """Ask for every probe of every KC after the whole history of some students."""
    from edpipe.datasets.tracing_source import tracing_dataset
    from edpipe.learning import newest_run
    from edpipe.prediction.mastery import choose_probes
    from edpipe.prediction.tracing import load_tracer

    tracer = load_tracer(newest_run(settings, "tracing"))
    dataset = tracing_dataset(settings)
    probes = choose_probes(dataset, tracer.vocabulary)
    # A KC without an item that training met is asked as an unknown item, which has no row here.
    has_item = probes.items > 1
    kcs = np.flatnonzero(probes.weights[:, has_item].sum(axis=1) > 1 - 1e-9)[:NUM_KCS]
    known = np.flatnonzero(has_item & (probes.weights[kcs].sum(axis=0) > 0))
    items = [tracer.vocabulary.item_ids[number - 2] for number in probes.items[known].tolist()]
    # Longer histories are cut by batch scoring before the question, and by the logged model with it. Of items
    # that training never met, batch scoring still knows the KCs; training students have none.
    history = edpipe.sql(
        "with short as (select student_key from training.tracing_examples "
        f"where source = '{dataset.source}' and split = 'train' "
        f"group by student_key having count(*) < {tracer.context_length} "
        f"order by count(*) desc, student_key limit {NUM_STUDENTS}) "
        "select student_id, item_id, is_correct, e.elapsed_seconds, e.lag_seconds "
        "from training.tracing_examples e join short using (student_key) join core.items using (item_key) "
        "order by student_key, interaction_number",
        settings,
    ).with_columns(pl.col("is_correct").cast(pl.Float64))
    parts = []
    for (student,), past in history.group_by("student_id", maintain_order=True):
        for place, item in enumerate(items):
            asked = pl.DataFrame(
                {"student_id": [student], "item_id": [item]}, schema_overrides={"student_id": pl.String}
            )
            whole = pl.concat([past, asked], how="diagonal")
            parts.append(whole.with_columns(student_id=pl.format("{}|{}", pl.lit(student), pl.lit(place))))
    rows = pl.concat(parts).with_columns(answered_at=pl.lit(None, dtype=pl.Datetime("us")))
    last = pl.Series(rows["student_id"] != rows["student_id"].shift(-1)).fill_null(value=True)

    def answer(answers: pl.DataFrame) -> pl.DataFrame:
        asked = pl.DataFrame({"key": rows["student_id"], "probability": answers["probability"]}).filter(last)
        students = history["student_id"].unique(maintain_order=True).to_list()
        table = asked["probability"].to_numpy().reshape(len(students), len(items))
        mastery = table @ probes.weights[kcs][:, known].T
        return pl.DataFrame(
            {
                "student_id": np.repeat(students, len(kcs)).tolist(),
                "kc_id": [dataset.kc_ids[kc] for kc in kcs] * len(students),
                "mastery": mastery.reshape(-1),
            }
        )

    expected = edpipe.sql("select student_id, kc_id, mastery from predictions.kc_mastery", settings).filter(
        pl.col("student_id").is_in(history["student_id"].unique().implode())
        & pl.col("kc_id").is_in([dataset.kc_ids[kc] for kc in kcs])
    )
    return Asked(rows, expected, ("mastery",), answer)


def strategy(settings: Settings) -> Asked:
    """Ask for pairs of the table; the batch functions answer the same question, after all answers."""
    from edpipe.families.strategy_training import KNOWN_FOLDER
    from edpipe.learning import newest_run
    from edpipe.mastery.embedding import load_embedding
    from edpipe.prediction.known import Known
    from edpipe.prediction.strategy import load_predictor
    from edpipe.prediction.strategy_tables import predict_asked
    from edpipe.training.run import read_run

    run = read_run(newest_run(settings, "strategy"))
    rows = edpipe.sql(
        "select distinct student_id, problem_id from predictions.strategies order by all", settings
    )
    found = predict_asked(
        load_predictor(run.run_dir),
        load_embedding(settings.embeddings_dir / run.data["embedding_key"]),
        Known.load(run.run_dir / KNOWN_FOLDER),
        rows,
    )
    return Asked(
        rows,
        pl.concat([rows, found], how="horizontal"),
        ("strategy", "confidence"),
        lambda answers: pl.concat([rows, answers.select("strategy", "confidence")], how="horizontal"),
    )


def tsdiff(settings: Settings) -> Asked:
    """Ask for the forecast from the end of every series."""
    from edpipe.datasets.series_source import sourced_series
    from edpipe.families.tsdiff_evaluation import settings_asked
    from edpipe.learning import newest_run
    from edpipe.training.run import read_run

    run = read_run(newest_run(settings, "tsdiff"))
    series = sourced_series(settings_asked(settings, run.data["asked"])).series
    rows = pl.concat(
        pl.DataFrame({"time": series.times(number), "target": series.target(number).astype(float)}).select(
            pl.lit(name).alias("series_id"), pl.col("time").cast(pl.Datetime("us")), "target"
        )
        for number, name in enumerate(series.ids)
    )
    values = ("mean", "quantile_05", "quantile_50", "quantile_95")
    expected = edpipe.sql(
        f"select series_id, step, {', '.join(values)} from predictions.activity_forecasts", settings
    ).with_columns(pl.col("step").cast(pl.Int64))
    return Asked(
        rows,
        expected,
        values,
        lambda answers: answers.select("series_id", pl.col("step").cast(pl.Int64), *values),
    )


def diffumin(settings: Settings) -> Asked:
    """Ask for the items that some students were recommended, after all that they did."""
    from edpipe.learning import newest_run
    from edpipe.prediction.diffumin import load_recommender
    from edpipe.prediction.histories import PublishedHistories

    trained = load_recommender(newest_run(settings, "diffumin"))
    histories = PublishedHistories(settings, str(trained.data["source"]), str(trained.data["log_name"]))
    ids = histories.catalog["item_id"]
    table = edpipe.sql(
        "select student_id, item_id, probability from predictions.recommendations order by student_id, rank",
        settings,
    )
    parts = []
    for student, history in list(histories.every())[:NUM_STUDENTS]:
        wanted = table.filter(student_id=student)
        past = pl.DataFrame({"item_id": ids.gather(history.items), "outcome": history.outcomes})
        asked = wanted.select("item_id", pl.lit(None, dtype=pl.String).alias("outcome"))
        parts += [
            one.select(
                pl.lit(student).alias("student_id"), "item_id", "outcome", pl.lit(flag).alias("is_asked")
            )
            for one, flag in ((past, False), (asked, True))
        ]
    rows = pl.concat(parts)
    expected = table.filter(pl.col("student_id").is_in(rows["student_id"].unique().implode()))
    return Asked(
        rows,
        expected,
        ("probability",),
        lambda answers: answers.select("student_id", "item_id", "probability"),
    )


ASKED: dict[str, Callable[[Settings], Asked]] = {
    "tracing": tracing,
    "strategy": strategy,
    "tsdiff": tsdiff,
    "diffumin": diffumin,
}
