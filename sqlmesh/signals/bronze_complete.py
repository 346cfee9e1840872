"""When an interval of arrivals may be processed."""

from sqlmesh import signal
from sqlmesh.core.context import ExecutionContext
from sqlmesh.utils.date import DatetimeRanges, to_datetime


@signal()
def bronze_complete(batch: DatetimeRanges, context: ExecutionContext) -> DatetimeRanges | bool:
    """Ready are the intervals whose every arrival is committed: those that end by `complete_through`.

    Without it an interval that runs before Flink's commit, or while Flink is down, misses its rows for good.
    """
    found = context.engine_adapter.fetchone("SELECT complete_through FROM bronze.stream_progress")
    if found is None or found[0] is None:
        return False
    complete_through = to_datetime(found[0])
    return [(start, end) for start, end in batch if end <= complete_through]
