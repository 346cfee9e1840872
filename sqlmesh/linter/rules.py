"""House rules for models, beside those that SQLMesh brings."""

from sqlmesh.core.linter.rule import Rule, RuleViolation
from sqlmesh.core.model import Model


class Partitioned(Rule):
    """A silver or gold table names its partitioning; the default is one partition a timestamp."""

    def check_model(self, model: Model) -> RuleViolation | None:
        """Look at tables only: views and external models have no files of their own."""
        if model.kind.is_materialized and not model.partitioned_by:
            return self.violation("say partitioned_by, such as (DAY(window_start))")
        return None


class ColumnsHaveComments(Rule):
    """Every column says what it is: the comments are the data dictionary."""

    def check_model(self, model: Model) -> RuleViolation | None:
        """External models carry the declaration's own descriptions in bronze."""
        if model.kind.is_external:
            return None
        missing = sorted(set(model.columns_to_types or {}) - set(model.column_descriptions))
        if missing:
            return self.violation(f"add a comment to {', '.join(missing)}")
        return None
