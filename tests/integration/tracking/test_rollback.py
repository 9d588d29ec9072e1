"""Promotions and rollbacks against a real registry: who is champion, what is recorded, what a kill leaves."""

from __future__ import annotations

import pytest

import edpipe
from edpipe.errors import RegistryError
from edpipe.operations.decisions import decision_table, decisions_dir
from edpipe.settings import Settings, load_settings
from edpipe.tracking import promotion as promotions
from edpipe.tracking import rollback as rollbacks
from edpipe.tracking.client import open_client
from edpipe.tracking.promotion import promote
from edpipe.tracking.registry import champion, get_version, register
from edpipe.tracking.rollback import rollback
from edpipe.tracking.runs import start_run

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """One store for the module: its first use takes seconds of migrations."""
    folder = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return load_settings("smoke", file=folder / "edpipe.toml", home=folder / "data", progress="none")


def run_of(store: Settings) -> str:
    """Return one run for all versions: what they were logged by plays no part here."""
    client = open_client(store)
    experiment = client.get_experiment_by_name("tracing")
    if experiment is not None:
        return str(client.search_runs([experiment.experiment_id])[0].info.run_id)
    with start_run(store, "tracing", "one") as run:
        return run.run_id


def registered(store: Settings, name: str, loss: float, **tags: str) -> int:
    given = {
        "valid.log_loss": str(loss),
        "valid.auc": "0.7",
        "data.fingerprint": "data",
        "data.split": "split",
        **tags,
    }
    made = register(
        store, run_id=run_of(store), run_key=str(loss), source="runs:/x/model", name=name, tags=given
    )
    return made.version


def three_champions(store: Settings, name: str) -> None:
    for loss in (0.6, 0.5, 0.4):
        registered(store, name, loss)
        assert promote(store, name).is_promoted


def decisions(store: Settings, name: str) -> list[dict]:
    return decision_table(store).filter(family=name).to_dicts()


def test_every_decision_is_a_row_that_sql_can_ask_for_and_tags_of_the_version(store):
    registered(store, "rows", 0.6)
    promote(store, "rows")
    registered(store, "rows", 0.5, **{"valid.calibration_error": "0.4"})
    promote(store, "rows", dry_run=True)
    refused = promote(store, "rows")
    assert not refused.is_promoted
    assert "outside of 0 to 0.05" in refused.reason
    promote(store, "rows", version=1)  # the champion already: nothing is decided
    asked = "select * from ops.promotions where family = 'rows' order by decided_at"
    first, second = edpipe.sql(asked, store).to_dicts()
    assert (first["version"], first["previous"], first["champion"], first["is_promoted"]) == (
        1,
        None,
        1,
        True,
    )
    assert (second["version"], second["previous"], second["champion"]) == (2, 1, 1)
    assert (second["metric"], second["candidate_score"], second["champion_score"]) == ("log_loss", 0.5, 0.6)
    assert (second["better"], second["calibration"], second["worst_group"]) == ("passed", "failed", "unknown")
    assert len(second["reasons"]) == 5
    assert second["reason"] == refused.reason
    tags = get_version(store, "rows", 2).tags
    assert tags["promotion.rule.calibration"].startswith("failed: Its calibration error")
    assert tags["promotion.rule.better"].startswith("passed: ")
    assert edpipe.show("ops.promotions", store).num_rows >= 2


def test_the_alias_goes_back_step_by_step_and_what_was_taken_back_is_not_promoted_again(store):
    three_champions(store, "steps")
    planned = rollback(store, "steps", dry_run=True)
    assert (planned.champion, planned.previous, champion(store, "steps").version) == (2, 3, 3)
    assert rollback(store, "steps", reason="Too sure of itself.").champion == 2
    assert champion(store, "steps").version == 2
    again = promote(store, "steps")
    assert not again.is_promoted
    assert "Too sure of itself." in again.reason
    assert champion(store, "steps").version == 2
    assert rollback(store, "steps").champion == 1
    with pytest.raises(RegistryError, match="no champion of `steps` to go back to") as refused:
        rollback(store, "steps")
    assert "2, 3" in str(refused.value)
    kinds = [(row["kind"], row["previous"], row["champion"]) for row in decisions(store, "steps")]
    assert kinds[3:] == [("rollback", 3, 2), ("promotion", 2, 2), ("rollback", 2, 1)]


def test_a_person_may_go_to_any_version_and_then_it_counts_as_any_other(store):
    three_champions(store, "named")
    rollback(store, "named")
    assert rollback(store, "named", to=3).champion == 3
    assert "rollback.reason" not in get_version(store, "named", 3).tags
    assert not promote(store, "named", version=3).is_promoted  # the champion already
    with pytest.raises(RegistryError, match="is the champion already"):
        rollback(store, "named", to=3)
    with pytest.raises(RegistryError, match="no version 9"):
        rollback(store, "named", to=9)
    with pytest.raises(RegistryError, match="no champion"):
        rollback(store, "nobody")


class Killed(BaseException):
    """Stands for a kill."""


def killed(monkeypatch, module, step: str, work, *, is_after: bool = False) -> None:
    """Do some work that is killed before, or right after, one of its steps."""
    real = getattr(module, step)

    def dying(*arguments):
        if is_after:
            real(*arguments)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(module, step, dying)
        with pytest.raises(Killed):
            work()


def test_a_killed_rollback_leaves_the_old_champion_or_the_new_one_and_is_ended_by_the_next(
    store, monkeypatch
):
    name = "killed"
    three_champions(store, name)
    for step in ("record_decision", "set_version_tags", "set_alias", "delete_version_tags"):
        for is_after in (False, True):
            killed(monkeypatch, rollbacks, step, lambda: rollback(store, name), is_after=is_after)
            has_moved = step == "delete_version_tags" or (step == "set_alias" and is_after)
            assert champion(store, name).version == (2 if has_moved else 3), (step, is_after)
            assert rollback(store, name, to=1).champion == 1
            assert not list(decisions_dir(store).glob(".*"))
            rollback(store, name, to=3)


def test_a_killed_promotion_leaves_one_champion_and_is_made_by_the_next(store, monkeypatch):
    name = "promoted"
    registered(store, name, 0.6)
    promote(store, name)
    registered(store, name, 0.5)
    for step in ("set_version_tags", "record_decision", "set_alias"):
        killed(monkeypatch, promotions, step, lambda: promote(store, name))
        assert champion(store, name).version == 1, step
    assert promote(store, name).champion == 2
    assert rollback(store, name).champion == 1


def test_a_damaged_record_is_left_out_and_told(store, caplog):
    registered(store, "damaged", 0.6)
    promote(store, "damaged")
    (decisions_dir(store) / "20260101T000000000000-bad.json").write_text('{"kind": ')
    assert len(decisions(store, "damaged")) == 1
    assert "cannot be read and is left out" in caplog.text
