"""What the settings say about the KCs of tutor logs."""

from sqlglot import exp
from sqlmesh import macro
from sqlmesh.core.macros import MacroEvaluator


@macro()
def kc_model_rank(
    evaluator: MacroEvaluator, model: exp.Expression, preferred: exp.Expression
) -> exp.Expression:
    """Return the place of a KC model among the preferred ones, from 1; those not among them come last."""
    names = _words(preferred)
    if not names:
        return exp.Literal.number(1)
    cases = " ".join(
        f"WHEN {exp.Literal.string(name).sql('duckdb')} THEN {place}" for place, name in enumerate(names, 1)
    )
    return evaluator.parse_one(f"CASE {model.sql('duckdb')} {cases} ELSE {len(names) + 1} END")


@macro()
def has_word(evaluator: MacroEvaluator, text: exp.Expression, words: exp.Expression) -> exp.Expression:
    """Return whether a text has one of some words in it, whatever its case; the words are upper case."""
    tests = [
        f"STRPOS(UPPER({text.sql('duckdb')}), {exp.Literal.string(word).sql('duckdb')}) > 0"
        for word in _words(words)
    ]
    return evaluator.parse_one(f"({' OR '.join(tests) or 'FALSE'})")


def _words(listed: exp.Expression) -> list[str]:
    entries = listed if isinstance(listed, list) else listed.expressions
    return [entry.name if isinstance(entry, exp.Expression) else str(entry) for entry in entries]
