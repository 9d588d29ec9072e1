import duckdb
import pytest
import tracing_data
from numpy.testing import assert_array_equal

from edpipe.datasets.tracing_source import tracing_dataset
from edpipe.errors import ContractError, TrainingError


@pytest.fixture
def published(settings):
    """A published file with the relations that training reads, and rows of another source."""
    catalog = tracing_data.catalog()
    items = catalog.items.explode("kc_keys")  # noqa: F841  # read by name in the queries
    kcs = catalog.kcs  # noqa: F841
    questions = tracing_data.answers()  # noqa: F841
    rows = tracing_data.answers(steps="rows")  # noqa: F841
    settings.home.mkdir(parents=True)
    with duckdb.connect(str(settings.published_path)) as connection:
        connection.execute("""
            create schema core; create schema training;
            create table core.items as select distinct 'test' as source, item_key, item_id from items;
            insert into core.items values ('other', 99, 'q1');
            create table core.item_kcs as select 'test' as source, item_key, kc_keys as kc_key from items;
            create table core.kcs as select 'test' as source, kc_key, kc_id from kcs;
            create table training.tracing_examples as select 'test' as source, * from questions
                order by hash(student_key, interaction_number);
            insert into training.tracing_examples select 'other', 900, 'train', 1, 99, true, 1.0, null;
            create table training.tracing_rows as select 'test' as source, * from rows
                order by hash(student_key, row_number);
        """)
    return settings.model_copy(
        update={"tracing": settings.tracing.model_copy(update={"source": "test"})},
    )


@pytest.mark.parametrize("steps", ["questions", "rows"])
def test_the_warehouse_gives_the_examples_of_one_source_in_order(published, tmp_path, steps):
    settings = published.model_copy(update={"tracing": published.tracing.model_copy(update={"steps": steps})})
    dataset = tracing_dataset(settings)
    assert dataset.fingerprint == tracing_data.dataset(tmp_path / "direct", steps=steps).fingerprint
    assert dataset.folder.parent == settings.home / "datasets"
    assert_array_equal(dataset.columns["is_correct"], tracing_data.answers(steps=steps)["is_correct"])


def test_a_source_without_examples_is_named(published):
    settings = published.model_copy(
        update={"tracing": published.tracing.model_copy(update={"source": "nothing"})}
    )
    with pytest.raises(TrainingError, match=r"(?s)no example.*'nothing'.*tracing.source"):
        tracing_dataset(settings)


def test_nothing_published_is_said(settings):
    with pytest.raises(ContractError, match="Nothing has been published"):
        tracing_dataset(settings)
