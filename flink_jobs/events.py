"""The job `events`: every topic but the ticks into bronze."""

from connectors.events import (
    AIDecision,
    Candle,
    FeedStatus,
    MacroIndicator,
    NewsSentiment,
    TradeExecution,
)
from flink_jobs.job import Job

JOB = Job(
    name="events",
    doc="candles, news, macro, AI decisions, executions and feed status into bronze",
    events=(Candle, NewsSentiment, MacroIndicator, AIDecision, TradeExecution, FeedStatus),
    dedup_hours=24 * 7,
)
