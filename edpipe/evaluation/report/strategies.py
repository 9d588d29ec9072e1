"""Everything about strategies: sections, what to read first, and the key figure."""

from __future__ import annotations

from dataclasses import replace

from edpipe.evaluation.report.curve import training_figure
from edpipe.evaluation.report.page import Section, missing
from edpipe.evaluation.report.published import Published
from edpipe.evaluation.report.strategy_budget import strategy_budget
from edpipe.evaluation.report.strategy_clusters import RELATION, strategy_clusters
from edpipe.evaluation.report.strategy_equity import strategy_equity
from edpipe.evaluation.report.strategy_run import StrategyRun
from edpipe.evaluation.report.strategy_scores import NAME, TITLE, beaten, enough, not_trained, strategy_scores

CURVES = {
    "Loss a KC (nats)": {"train_loss": "1", "valid_loss": "2"},
    "Next KC, validation": {"valid_next_accuracy": "3"},
}


def strategies(published: Published, run: StrategyRun) -> list[Section]:
    """Return the sections on strategies; one that says what is missing where there is nothing at all."""
    is_trained = bool(run.trained.key)
    if not is_trained and not published.has(RELATION):
        return [missing(NAME, TITLE, not_trained(run))]
    scored = strategy_scores(run)
    curves = run.trained.curves
    if curves is not None:
        figure = training_figure("strategy-training", "Training of the predictor", curves, CURVES)
        scored = replace(scored, figures=[*scored.figures, *([figure] if figure else [])])
    clustered = strategy_clusters(published, run)
    if run.predictor is None:
        return [scored, clustered]
    return [scored, strategy_budget(run), strategy_equity(run), clustered]


def strategy_warnings(run: StrategyRun) -> list[str]:
    """Return what to read first about the predictor."""
    evaluation = run.trained.evaluation
    said = enough(run)
    warnings = evaluation.warnings if evaluation else ()
    # The evaluation warns of the same in other words.
    return [
        *said,
        *beaten(run),
        *(one for one in warnings if not (said and one.endswith("the lookup is enough."))),
    ]
