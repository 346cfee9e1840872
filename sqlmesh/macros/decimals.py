"""Exact arithmetic where the engine's own would round twice."""

from sqlglot import exp
from sqlmesh import macro
from sqlmesh.core.macros import MacroEvaluator


@macro()
def exact_vwap(evaluator: MacroEvaluator, notional: exp.Expression, volume: exp.Expression) -> str:
    """`notional / volume`, rounded half up to 8 decimals, once; null where there is no volume.

    Trino divides to 16 decimals and the cast rounds again. The two err only where the exact quotient is a hair below a
    half: there the result is too high by more than half a unit, and one unit is taken off.
    """
    n, v = notional.sql("trino"), volume.sql("trino")
    twice = f"CAST({n} / NULLIF({v}, 0) AS DECIMAL(18, 8))"
    return (
        f"{twice} - CASE WHEN {twice} * {v} - {n} > DECIMAL '0.000000005' * {v} "
        "THEN DECIMAL '0.00000001' ELSE DECIMAL '0.00000000' END"
    )


@macro()
def changed(evaluator: MacroEvaluator, *columns: exp.Expression) -> str:
    """Whether any of the columns differs between the two sides of a MERGE."""
    names = [column.name for column in columns]
    return " OR ".join(f"source.{name} IS DISTINCT FROM target.{name}" for name in names)
