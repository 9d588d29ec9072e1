"""Runs and registry against a real SQLite store of MLflow."""

from __future__ import annotations

from contextlib import suppress

import pytest

from edpipe.errors import RegistryError
from edpipe.settings import Settings, load_settings
from edpipe.tracking.client import open_client
from edpipe.tracking.promotion import promote
from edpipe.tracking.registry import champion, get_version, register, versions
from edpipe.tracking.runs import RUN_KEY, Run, find_run, start_run

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """One store for the module: its first use takes seconds of migrations."""
    folder = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return load_settings("smoke", file=folder / "edpipe.toml", home=folder / "data", progress="none")


def status_of(store: Settings, run: Run) -> str:
    return str(open_client(store).get_run(run.run_id).info.status)


def test_a_run_records_what_it_is_told(store, tmp_path):
    file = tmp_path / "notes.txt"
    file.write_text("note")
    with start_run(store, "tracing", "first", tags={RUN_KEY: "key1"}) as run:
        run.log_params({"tracing": {"size": 32, "dropout": 0.1}, "seed": 7})
        run.log_metrics({"test.auc": 0.75, "undefined": float("nan")})
        run.log_curve([(epoch, {"valid_loss": 1 / (1 + epoch)}) for epoch in range(3)])
        run.log_file(file, "files")
        run.log_text("# Card", "card.md")
        run.log_input("training.tracing_examples", "f" * 64, '{"rows": 3}')
    assert status_of(store, run) == "FINISHED"
    client = open_client(store)
    written = client.get_run(run.run_id)
    assert written.data.params == {"tracing.size": "32", "tracing.dropout": "0.1", "seed": "7"}
    assert written.data.metrics == {"test.auc": 0.75, "valid_loss": pytest.approx(1 / 3)}
    history = client.get_metric_history(run.run_id, "valid_loss")
    assert [(point.step, point.value) for point in history] == [(0, 1.0), (1, 0.5), (2, pytest.approx(1 / 3))]
    assert {file.path for file in client.list_artifacts(run.run_id)} == {"card.md", "environment", "files"}
    assert written.inputs.dataset_inputs[0].dataset.name == "training.tracing_examples"
    assert written.data.tags["data.fingerprint"] == "f" * 64
    assert "code.commit" in written.data.tags
    assert "environment.python" in written.data.tags
    assert find_run(store, "tracing", "key1") == run.run_id
    assert (store.home / "mlartifacts").is_dir()


def test_a_run_that_raises_is_failed_and_one_that_is_interrupted_is_killed(store):
    with pytest.raises(ValueError, match="broken"), start_run(store, "tracing", "a") as failed:
        raise ValueError("broken")
    with (
        pytest.raises(KeyboardInterrupt),
        start_run(store, "tracing", "b", tags={RUN_KEY: "key2"}) as killed,
    ):
        raise KeyboardInterrupt
    assert status_of(store, failed) == "FAILED"
    assert status_of(store, killed) == "KILLED"


def test_a_run_of_the_same_key_is_taken_up_again(store: Settings) -> None:
    with suppress(KeyboardInterrupt), start_run(store, "tracing", "c", tags={RUN_KEY: "key3"}) as killed:
        killed.log_metrics({"valid/auc": 0.6}, step=0)
        raise KeyboardInterrupt
    with start_run(store, "tracing", "c", tags={RUN_KEY: "key3"}) as again:
        again.log_metrics({"valid/auc": 0.7}, step=1)
    assert again.run_id == killed.run_id
    assert status_of(store, again) == "FINISHED"
    history = again.client.get_metric_history(again.run_id, "valid/auc")
    assert [(point.step, point.value) for point in history] == [(0, 0.6), (1, 0.7)]
    assert find_run(store, "tracing", "never") is None


def test_thousands_of_points_are_written_in_batches(store):
    with start_run(store, "tracing", "long") as run:
        run.log_curve([(step, {"loss": float(step)}) for step in range(2500)])
        run.log_params({f"p{number}": number for number in range(250)})
    written = open_client(store).get_run(run.run_id)
    assert written.data.metrics["loss"] == 2499
    assert len(written.data.params) == 250


def registered(store, name, run_key, log_loss, *, fingerprint="data1", split="edpipe:0.1:0.2"):
    with start_run(store, "tracing", run_key) as run:
        pass
    tags = {
        "valid.log_loss": str(log_loss),
        "valid.auc": str(1 - log_loss / 2),
        "data.fingerprint": fingerprint,
        "data.split": split,
    }
    return register(
        store, run_id=run.run_id, run_key=run_key, source=f"runs:/{run.run_id}/model", name=name, tags=tags
    )


def test_the_same_run_is_registered_once(store):
    first = registered(store, "once", "key1", 0.6)
    again = registered(store, "once", "key1", 0.6)
    assert (first.version, again.version) == (1, 1)
    assert again.run_id == first.run_id
    assert len(versions(store, "once")) == 1


def test_an_unknown_model_version_or_champion_lists_what_is_known(store):
    with pytest.raises(RegistryError, match="no version"):
        champion(store, "nothing")
    with pytest.raises(RegistryError, match="No model is registered"):
        get_version(store, "nothing")
    registered(store, "listed", "key1", 0.6)
    with pytest.raises(RegistryError, match="versions 1"):
        get_version(store, "listed", 7)


def test_only_a_better_version_takes_over(store):
    registered(store, "contest", "key1", 0.60)
    first = promote(store, "contest")
    assert (first.is_promoted, first.champion, first.previous) == (True, 1, None)
    assert not promote(store, "contest").is_promoted

    registered(store, "contest", "key2", 0.65)
    worse = promote(store, "contest")
    assert (worse.is_promoted, worse.champion) == (False, 1)
    assert get_version(store, "contest", 2).aliases == ("challenger",)

    registered(store, "contest", "key3", 0.60)
    assert not promote(store, "contest").is_promoted  # a tie keeps the champion

    registered(store, "contest", "key4", 0.55)
    planned = promote(store, "contest", dry_run=True)
    assert (planned.is_promoted, planned.is_dry_run) == (True, True)
    assert champion(store, "contest").version == 1
    better = promote(store, "contest")
    assert (better.is_promoted, better.champion, better.previous) == (True, 4, 1)
    assert better.scores["champion.log_loss"] == 0.60
    assert champion(store, "contest").version == 4
    assert champion(store, "contest").tags["promotion.candidate.log_loss"] == "0.550000"


def test_a_challenger_that_wins_later_is_no_longer_challenger(store):
    registered(store, "later", "key1", 0.60)
    promote(store, "later")
    registered(store, "later", "key2", 0.70, fingerprint="data2")
    assert not promote(store, "later", rescore=lambda *_: {"log_loss": 0.6, "auc": 0.7}).is_promoted
    assert promote(store, "later", rescore=lambda *_: {"log_loss": 0.8, "auc": 0.6}).is_promoted
    assert champion(store, "later").aliases == ("champion",)


@pytest.mark.parametrize("change", [{"fingerprint": "data2"}, {"split": "other:0.1:0.2"}])
def test_a_champion_validated_on_other_rows_must_be_scored_again(store, change):
    name = "rows-" + next(iter(change))
    registered(store, name, "key1", 0.50)
    promote(store, name)
    candidate = registered(store, name, "key2", 0.55, **change)
    with pytest.raises(RegistryError, match="other data"):
        promote(store, name)
    asked = []

    def rescore(holder, contender):
        asked.append((holder.version, contender.version))
        return {"log_loss": 0.58, "auc": 0.7}

    assert promote(store, name, rescore=rescore).champion == candidate.version
    assert asked == [(1, 2)]


def test_a_version_without_a_validation_score_is_refused(store):
    with start_run(store, "tracing", "bare") as run:
        pass
    register(store, run_id=run.run_id, run_key="bare", source=f"runs:/{run.run_id}/model", name="bare")
    with pytest.raises(RegistryError, match="no validation score"):
        promote(store, "bare")


def predictor(store, name, run_key, log_loss, exact_match, worst_group=None):
    """Register a version of the strategy family; each test's name must be its own."""
    with start_run(store, "strategy", run_key) as run:
        pass
    tags = {
        "valid.log_loss": str(log_loss),
        "valid.exact_match": str(exact_match),
        "data.fingerprint": "data1",
        "data.split": "students",
    }
    if worst_group is not None:
        tags["valid.worst_group_exact_match"] = str(worst_group)
    return register(
        store, run_id=run.run_id, run_key=run_key, source=f"runs:/{run.run_id}/model", name=name, tags=tags
    )


@pytest.fixture
def strategy_contest(monkeypatch):
    """Let any name of a test follow the rules of predictors of strategies."""
    from edpipe.tracking import contest, promotion, rules

    for module in (promotion, rules):
        monkeypatch.setattr(module, "contest_of", lambda _name: contest.STRATEGY)


@pytest.mark.parametrize(
    ("candidate", "is_promoted"),
    [
        ((0.50, 0.6, 0.40), True),
        ((0.50, 0.6, 0.45), True),
        ((0.50, 0.9, 0.39), False),
        ((0.60, 0.9, 0.90), False),
        ((0.50, 0.6, None), True),
        ((float("nan"), 0.9, 0.90), False),
    ],
)
def test_a_predictor_must_have_a_lower_loss_and_not_be_worse_for_its_worst_group(
    candidate, is_promoted, store, strategy_contest
):
    name = f"predictor-{'-'.join(str(value) for value in candidate)}"
    predictor(store, name, "key1", 0.6, 0.5, 0.40)
    assert promote(store, name).is_promoted
    predictor(store, name, "key2", *candidate)
    decided = promote(store, name)
    assert decided.is_promoted is is_promoted
    assert decided.scores["champion.exact_match"] == 0.5
    if candidate[0] == 0.50 and not is_promoted:
        assert "worst" in decided.reason
    assert champion(store, name).version == (2 if is_promoted else 1)


def test_advice_names_the_family(store):
    with pytest.raises(RegistryError, match="edpipe train strategy"):
        champion(store, "strategy")
