"""Strategies out of the warehouse."""

from __future__ import annotations

from edpipe.datasets.strategy import StrategyDataset, strategy_dataset_of
from edpipe.settings import Settings

EXAMPLES = """
    select attempt_key, student_key, student_id, section_key, section_id, problem_key, problem_id,
        problem_view, attempt_number, started_at, split, published_split, kc_keys, step_sizes
    from training.strategy_examples
    where source = ?
    order by student_key, attempt_number
"""
EDGES = """
    select edges.attempt_key, edges.kc_key, edges.num_steps, edges.num_scored, edges.num_correct,
        edges.prior_scored, edges.prior_correct
    from features.mastery_edges as edges
    where edges.source = ?
"""
KCS = "select kc_key, kc_id from core.kcs where source = ? order by kc_key"


def strategy_dataset(settings: Settings) -> StrategyDataset:
    """Read the problem attempts of ``settings.strategy.source`` from the published tables.

    Raises
    ------
    TrainingError
        If the source has no attempt with a strategy.
    ContractError
        If nothing has been published.
    """
    from edpipe import warehouse

    source = settings.strategy.source
    with warehouse.open_reader(settings) as connection:
        examples = connection.execute(EXAMPLES, [source]).pl()
        edges = connection.execute(EDGES, [source]).pl()
        kcs = connection.execute(KCS, [source]).pl()
    names = dict(zip(kcs["kc_key"].to_list(), kcs["kc_id"].to_list(), strict=True))
    return strategy_dataset_of(source, examples, edges, kc_names=names)
