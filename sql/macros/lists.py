"""Lists, which engines handle by functions of different names: one macro each."""

from sqlglot import exp
from sqlmesh import macro
from sqlmesh.core.macros import MacroEvaluator

PACKED_BITS = 20


@macro()
def split_list(evaluator: MacroEvaluator, text: exp.Expression) -> exp.Expression:
    """Return one row a part of a `;` list."""
    return evaluator.parse_one(f"UNNEST(STRING_SPLIT({_sql(text)}, ';'))")


@macro()
def split_cell(evaluator: MacroEvaluator, cell: exp.Expression) -> exp.Expression:
    """Return one row a part of a `~~` list."""
    return evaluator.parse_one(f"UNNEST(STRING_SPLIT({_sql(cell)}, '~~'))")


@macro()
def each_of(evaluator: MacroEvaluator, values: exp.Expression) -> exp.Expression:
    """Return one row an entry."""
    return evaluator.parse_one(f"UNNEST({_sql(values)})")


@macro()
def each_position(evaluator: MacroEvaluator, values: exp.Expression) -> exp.Expression:
    """Return one row an entry: its position from 1."""
    return evaluator.parse_one(f"GENERATE_SUBSCRIPTS({_sql(values)}, 1)")


@macro()
def entry_at(evaluator: MacroEvaluator, values: exp.Expression, position: exp.Expression) -> exp.Expression:
    """Return the entry at a position from 1; null beyond the end."""
    return evaluator.parse_one(f"LIST_EXTRACT({_sql(values)}, {_sql(position)})")


@macro()
def position_of(evaluator: MacroEvaluator, values: exp.Expression, value: exp.Expression) -> exp.Expression:
    """Return where a value stands in a list, from 1."""
    return evaluator.parse_one(f"LIST_POSITION({_sql(values)}, {_sql(value)})")


@macro()
def num_entries(evaluator: MacroEvaluator, values: exp.Expression) -> exp.Expression:
    """Return the length of a list."""
    return evaluator.parse_one(f"LEN({_sql(values)})")


@macro()
def list_by(evaluator: MacroEvaluator, value: exp.Expression, *order: exp.Expression) -> exp.Expression:
    """Aggregate values into a list in an order."""
    keys = ", ".join(_sql(key) for key in order)
    return evaluator.parse_one(f"ARRAY_AGG({_sql(value)} ORDER BY {keys})")


@macro()
def sorted_list(evaluator: MacroEvaluator, value: exp.Expression) -> exp.Expression:
    """Aggregate values into a list in rising order, on engines whose aggregates keep no order too."""
    return evaluator.parse_one(f"LIST_SORT(ARRAY_AGG({_sql(value)}))")


@macro()
def packed_list(
    evaluator: MacroEvaluator,
    value: exp.Expression,
    place: exp.Expression,
    bits: exp.Expression | None = None,
) -> exp.Expression:
    """Aggregate numbers from 0 to 2**bits - 1 into a list ordered by place, then value; 20 bits by default.

    Place and value are packed into one number of 63 bits and sorted afterwards: an ordered aggregate of
    twenty million rows would hold all of them with their order in memory.
    """
    width = PACKED_BITS if bits is None else int(bits.name)
    kind = "INT" if width < 32 else "BIGINT"
    packed = f"ARRAY_AGG(CAST({_sql(place)} AS BIGINT) * {2**width} + {_sql(value)})"
    return evaluator.parse_one(f"LIST_TRANSFORM(LIST_SORT({packed}), x -> CAST(x % {2**width} AS {kind}))")


@macro()
def empty_list(evaluator: MacroEvaluator, kind: exp.Expression) -> exp.Expression:
    """Return a list without entries, of a type."""
    return evaluator.parse_one(f"CAST([] AS {_sql(kind)}[])")


@macro()
def joined_text(evaluator: MacroEvaluator, values: exp.Expression) -> exp.Expression:
    """Return the entries of a list of texts, one a line."""
    return evaluator.parse_one(f"ARRAY_TO_STRING({_sql(values)}, CHR(10))")


def _sql(expression: exp.Expression) -> str:
    return expression.sql("duckdb")
