"""The card says what was measured, and nothing that was not."""

from __future__ import annotations

import polars as pl
import pytest

from edpipe.tracking.card_words import STRATEGY, WORDS
from edpipe.tracking.environment import code_version, environment_tags, requirements
from edpipe.tracking.model_card import CardFacts, model_card


def facts(**changes: object) -> CardFacts:
    rows = [
        (model, split, subset, metric, value, value - 0.01, value + 0.01, 1000, 20)
        for model, base in (("attention", 0.75), ("majority", 0.5))
        for split in ("valid", "test")
        for subset in ("all", "mastery:low", "mastery:middle", "mastery:high", "mastery:gap")
        for metric, value in (
            ("auc", base),
            ("log_loss", 0.61),
            ("accuracy", 0.7),
            ("calibration_error", 0.02),
            ("false_positive_rate", 0.4),
        )
    ]
    names = ["model", "split", "subset", "metric", "value", "low", "high", "num_interactions", "num_students"]
    values: dict[str, object] = {
        "name": "tracing",
        "model": "attention",
        "run_key": "abc123",
        "source": "ednet",
        "data": {"Table": "training.tracing_examples", "Fingerprint": "f00d", "Rows": "95,293,926"},
        "splits": {"train": {"students": 1400, "interactions": 123456}},
        "parameters": {"size": 128},
        "metrics": pl.DataFrame(rows, schema=names, orient="row"),
        "calibration": pl.DataFrame(
            {"model": ["attention"], "bin": [7], "predicted": [0.5], "observed": [0.52], "count": [4321]}
        ),
        "warnings": ("Too good.",),
        "code": {"code.commit": "1234"},
    }
    return CardFacts(**{**values, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        "# Model card: tracing (attention)",
        "CC BY-NC 4.0",
        "- Fingerprint: f00d",
        "| train | 1,400 | 123,456 |",
        "| attention | 0.750 (0.740 to 0.760) |",
        "| majority | 0.500 (0.490 to 0.510) |",
        "| low | 0.750 (0.740 to 0.760) | 0.020 (0.010 to 0.030) | 0.400 (0.390 to 0.410) |",
        "| gap |",
        "| 0.500 | 0.520 | 4,321 |",
        "- Too good.",
        'mlflow.pyfunc.load_model("models:/tracing@champion")',
        "- `size`: 128",
        "- `code.commit`: 1234",
        "## Limits",
    ],
)
def test_the_card_tells(text):
    assert text in model_card(facts())


def test_what_was_not_measured_is_not_told():
    bare = model_card(facts(metrics=facts().metrics.filter(pl.col("subset") == "all")))
    assert "Not measured: too few students." in bare
    assert "first rows" not in bare


def test_first_rows_are_shown_beside_all_rows_where_they_were_measured():
    first = facts().metrics.filter(pl.col("subset") == "all").with_columns(subset=pl.lit("first_rows"))
    assert "first rows of repeated problems" in model_card(facts(metrics=pl.concat([facts().metrics, first])))


def test_values_without_an_interval_stand_alone():
    nan = float("nan")
    card = model_card(facts(metrics=facts().metrics.with_columns(low=pl.lit(nan), high=pl.lit(nan))))
    assert "| attention | 0.750 | 0.610 |" in card


def test_an_unknown_source_asks_for_its_licence():
    assert "not recorded" in model_card(facts(source="elsewhere"))


def test_tables_of_the_card_are_whole():
    for block in model_card(facts()).split("\n\n"):
        if block.startswith("|"):
            assert len({line.count("|") for line in block.splitlines()}) == 1


def test_code_version_outside_a_checkout_is_unknown(tmp_path):
    assert code_version(tmp_path)["code.commit"] == "unknown"


def test_environment_names_python_and_pins():
    assert environment_tags()["environment.python"].startswith("3.")
    assert any(pin.startswith("torch==") for pin in requirements())


def strategy_facts() -> CardFacts:
    names = ["model", "split", "subset", "metric", "value", "low", "high", "num_interactions", "num_students"]
    rows = [
        (model, split, subset, metric, base, base - 0.1, base + 0.1, 100, 20)
        for model, base in (("transformer", 0.625), ("lookup", 0.5))
        for split in ("valid", "test")
        for subset in ("all", "departures", "mastery:low", "mastery:gap")
        for metric in ("exact_match", "jaccard")
    ]
    return facts(
        name="strategy",
        model="transformer",
        source="kddcup",
        splits={"train": {"students": 14, "attempts": 3456}},
        metrics=pl.DataFrame(rows, schema=names, orient="row"),
        calibration=facts().calibration.with_columns(model=pl.lit("transformer")),
        words=STRATEGY,
        statements=("A lookup is enough here.",),
    )


@pytest.mark.parametrize(
    "text",
    [
        "# Model card: strategy (transformer)",
        "Test exact match 0.625 (0.525 to 0.725)",
        "## Beside the baselines\n\n- A lookup is enough here.",
        "| train | 14 | 3,456 |",
        "research only",
        "### Test split, where the student leaves the usual strategy",
        "| lookup | 0.500 (0.400 to 0.600) |",
        "| low | 0.625 (0.525 to 0.725) |",
        "| predicted | observed | attempts |",
        'mlflow.pyfunc.load_model("models:/strategy@champion")',
    ],
)
def test_the_card_of_a_predictor_tells(text):
    assert text in model_card(strategy_facts())


def test_every_family_has_words_of_its_own():
    assert len({words.summary for words in WORDS.values()}) == len(WORDS) == 4


def test_a_card_without_statements_has_no_empty_section():
    assert "Beside the baselines" not in model_card(facts())
