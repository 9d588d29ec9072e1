"""Expressions that engines spell differently: one macro each, and models stay portable."""

from sqlglot import exp
from sqlmesh import macro
from sqlmesh.core.macros import MacroEvaluator


@macro()
def from_milliseconds(evaluator: MacroEvaluator, milliseconds: exp.Expression) -> exp.Expression:
    """Return the UTC time of a count of milliseconds since 1970, exactly (no floating point)."""
    del evaluator
    return exp.func(
        "MAKE_TIMESTAMPTZ", exp.Mul(this=exp.paren(milliseconds), expression=exp.Literal.number(1000))
    )


@macro()
def to_milliseconds(evaluator: MacroEvaluator, time: exp.Expression) -> exp.Expression:
    """Return a time as a count of milliseconds since 1970, exactly."""
    return evaluator.parse_one(f"EPOCH_MS({time.sql('duckdb')})")


@macro()
def hash_share(evaluator: MacroEvaluator, word: exp.Expression, salt: exp.Expression) -> exp.Expression:
    """Return a number in [0, 1) from the first 8 hex digits of md5(salt:word); the same everywhere."""
    digits = evaluator.parse_one(f"SUBSTR(MD5({salt.sql('duckdb')} || ':' || {word.sql('duckdb')}), 1, 8)")
    return evaluator.parse_one(f"CAST('0x' || {digits.sql('duckdb')} AS UBIGINT) / 4294967296.0")


@macro()
def seconds_between(
    evaluator: MacroEvaluator, earlier: exp.Expression, later: exp.Expression
) -> exp.Expression:
    """Return the seconds from one time to another, with fractions."""
    return evaluator.parse_one(
        f"(EPOCH_US({later.sql('duckdb')}) - EPOCH_US({earlier.sql('duckdb')})) / 1000000.0"
    )
