"""The start of the window that a moment is in."""

from sqlglot import exp
from sqlmesh import macro
from sqlmesh.core.macros import MacroEvaluator


@macro()
def window_start(evaluator: MacroEvaluator, moment: exp.Expression) -> str:
    """Start of the 5 seconds that `moment` is in, exact to the microsecond."""
    t = moment.sql("trino")
    return f"DATE_TRUNC('second', {t}) - MOD(SECOND({t}), 5) * INTERVAL '1' SECOND"


@macro()
def bar_start(evaluator: MacroEvaluator, moment: exp.Expression, seconds: exp.Expression) -> str:
    """Start of the bar of `seconds` (whole minutes, at most an hour) that `moment` is in."""
    t, s = moment.sql("trino"), seconds.sql("trino")
    return f"DATE_TRUNC('minute', {t}) - MOD(MINUTE({t}) * 60, {s}) * INTERVAL '1' SECOND"
