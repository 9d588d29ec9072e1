"""Knowledge tracing: the chance of a right answer, and the mastery that follows from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from edpipe.errors import TrainingError
from edpipe.families.family import Evaluated, OnMade
from edpipe.families.raw_data import refuse_absent_source, refuse_changed_data
from edpipe.progress import track

if TYPE_CHECKING:
    import polars as pl

    from edpipe.datasets.tracing import TracingDataset
    from edpipe.settings import Settings
    from edpipe.tracking.registry import ModelVersion
    from edpipe.training.run import TrainingRun


TITLES = {
    "auc": "AUC",
    "log_loss": "log loss",
    "accuracy": "accuracy",
    "calibration_error": "calibration error",
}
VALIDATION = {
    "log_loss": "valid log loss",
    "auc": "valid AUC",
    "calibration_error": "valid calibration error",
    "worst_group_log_loss": "valid log loss, worst group",
}


class TracingFamily:
    """Models that trace knowledge."""

    name = "tracing"
    group = "tracing"
    titles: Mapping[str, str] = TITLES
    validation: Mapping[str, str] = VALIDATION
    lowest_first = False
    rows = "answers"
    subject = "student"
    subjects = "students"
    tables: tuple[str, ...] = ("predictions.kc_mastery",)

    def source(self, settings: Settings) -> str:
        """Return the source whose answers are traced."""
        return settings.tracing.source

    def train(
        self, settings: Settings, *, resume: bool, dry_run: bool, on_made: OnMade | None
    ) -> TrainingRun:
        """Train the tracer that ``settings.tracing`` describes, or find it trained."""
        del on_made
        refuse_absent_source(settings, self.name, settings.tracing.source)
        from edpipe.training.tracing import train_tracing

        if dry_run:
            return train_tracing(settings, dry_run=True)
        from edpipe.datasets.tracing_source import tracing_dataset
        from edpipe.families.tracked import train_tracked

        dataset = tracing_dataset(settings)
        planned = train_tracing(settings, dataset=dataset, dry_run=True)
        return train_tracked(
            settings,
            planned,
            lambda log: train_tracing(settings, dataset=dataset, resume=resume, on_epoch=log),
            resume=resume,
        )

    def evaluate(self, settings: Settings, run: TrainingRun) -> Evaluated:
        """Score the tracer beside the baselines on validation and test students, and register it."""
        from edpipe.datasets.tracing_frames import examples, item_kcs
        from edpipe.evaluation.evaluate import evaluate_tracing
        from edpipe.families.tracing_registration import register_tracing
        from edpipe.prediction.tracing import predict

        dataset = _dataset_of(run, settings)

        def predictions(asked: pl.DataFrame) -> dict[str, pl.DataFrame]:
            import polars as pl

            # The tracer reads both splits from the dataset, with the history that the rows alone lack.
            splits = [predict(run.run_dir, dataset, split) for split in ("valid", "test")]
            frame = pl.concat(splits)
            if frame.height != asked.height:
                raise TrainingError(
                    "The tracer and the baselines would be scored on different rows.",
                    where=str(run.run_dir),
                    found=f"{frame.height:,} and {asked.height:,} rows",
                    expected="the same validation and test rows",
                )
            return {str(run.config["kind"]): frame}

        evaluation = evaluate_tracing(
            settings,
            run.run_dir,
            examples=lambda: examples(dataset),
            item_kcs=item_kcs(dataset),
            predict=predictions,
            data_fingerprint=run.fingerprint,
        )
        return Evaluated(run, evaluation, register_tracing(self.name, settings, run, dataset, evaluation))

    def rescore(
        self, settings: Settings, champion: ModelVersion, candidate: ModelVersion
    ) -> dict[str, float]:
        """Measure the champion on the candidate's validation students."""
        from edpipe.evaluation.equity import mastery_groups
        from edpipe.evaluation.evaluate import evaluate_predictions
        from edpipe.prediction.tracing import predict
        from edpipe.tracking.validation import validation_of
        from edpipe.training.run import read_run

        run = read_run(settings.runs_dir / candidate.run_key)
        frame = predict(settings.runs_dir / champion.run_key, _dataset_of(run, settings), "valid")
        scored = evaluate_predictions(
            {"champion": frame},
            mastery_groups=mastery_groups(frame),
            num_draws=0,
            seed=settings.seed,
            split="valid",
            plausible_auc=settings.tracing.plausible_auc,
        )
        return dict(validation_of(settings, self.name, scored.metrics).scores)

    def score(self, settings: Settings, chosen: ModelVersion) -> list[Path]:
        """Write every student's mastery of every KC, for ``predictions.kc_mastery``."""
        from edpipe.datasets.tracing_source import tracing_dataset
        from edpipe.prediction.mastery import mastery
        from edpipe.prediction.published_ids import with_published_ids
        from edpipe.prediction.scoring import score_kc_mastery
        from edpipe.prediction.tracing import load_tracer

        tracer = load_tracer(settings.runs_dir / chosen.run_key)
        dataset = tracing_dataset(_settings_for(settings, tracer.data["source"], tracer.data["steps"]))

        def frames() -> Iterator[pl.DataFrame]:
            with track("Score mastery", unit="rows", mode=settings.progress) as work:
                for frame in with_published_ids(settings, dataset, mastery(tracer, dataset)):
                    yield frame
                    work.advance(frame.height)

        path = score_kc_mastery(
            settings,
            frames(),
            model_name=self.name,
            model_version=chosen.version,
            data_fingerprint=dataset.fingerprint,
        )
        return [path]


def _settings_for(settings: Settings, source: str, steps: str) -> Settings:
    tracing = settings.tracing.model_copy(update={"source": source, "steps": steps})
    return settings.model_copy(update={"tracing": tracing})


def _dataset_of(run: TrainingRun, settings: Settings) -> TracingDataset:
    """Open the data that the run was trained on; refuse others, whose splits may differ."""
    from edpipe.datasets.tracing_source import tracing_dataset

    dataset = tracing_dataset(_settings_for(settings, run.source, run.steps))
    refuse_changed_data(run, dataset.fingerprint)
    return dataset
