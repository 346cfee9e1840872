"""The statements of a job follow from the declaration."""

import json
from datetime import timedelta

import pytest

from connectors.errors import TicklakeError
from connectors.events import Candle, Tick
from connectors.stream import Column
from flink_jobs import ddl
from flink_jobs.job import split
from flink_jobs.run import configuration, job, jobs
from flink_jobs.settings import FlinkSettings, JobSettings
from iceberg_catalog.tables import tables


def test_every_connector_table_has_exactly_one_insert() -> None:
    """No bronze table is forgotten, and none is written twice."""
    settings = JobSettings()
    statements = [s for of in jobs().values() for s in of.statements(settings)]
    written = [
        s.split()[2].rpartition(".")[2].strip("`")
        for s in statements
        if s.startswith("INSERT INTO `lake`")
    ]
    expected = [t.name for t in tables() if t.event.stream.made_by in {"connectors", "flink"}]

    # each job has its own dead letters and receipts
    assert sorted([*expected, "dead_letters", "commit_receipts"]) == sorted(written)


def test_an_unknown_job_is_named_with_those_that_exist() -> None:
    """The message says what is allowed."""
    with pytest.raises(TicklakeError, match="no job is called tick; the jobs are events, ticks"):
        job("tick")


def test_a_statement_ends_with_a_semicolon_at_a_line_s_end() -> None:
    """Comments go; a semicolon inside a line does not split."""
    text = "-- a comment; with a semicolon\nSELECT ';' AS x;\n\nSELECT 2;\n"

    assert split(text) == ["SELECT ';' AS x", "SELECT 2"]


def test_the_spec_of_a_tick_says_what_each_kind_needs() -> None:
    """A trade needs price and size, knows no bid, and has a table for late ones."""
    kinds = {kind["value"]: kind for kind in json.loads(ddl.spec(Tick))["kinds"]}

    assert kinds["trade"]["required"] == ["price", "size"]
    assert "bid" in kinds["trade"]["unknown"]
    assert "venue_sequence" not in kinds["heartbeat"]["unknown"]
    assert kinds["trade"]["late_table"] == "late_trades"
    assert kinds["quote"]["late_table"] is None


def test_only_content_makes_a_conflict() -> None:
    """When it was extracted, and a number that only the stream has, may differ."""
    assert "_extracted_at" not in json.loads(ddl.spec(Candle))["content"]
    assert "venue_sequence" not in json.loads(ddl.spec(Tick))["content"]
    assert "price" in json.loads(ddl.spec(Tick))["content"]


def test_the_spec_carries_the_rules_between_columns() -> None:
    """A candle's high is at least its low."""
    assert ["high", ">=", "low"] in json.loads(ddl.spec(Candle))["rules"]


def test_a_literal_cannot_be_left() -> None:
    """Quotes are doubled."""
    assert ddl.literal("it's") == "'it''s'"


def test_an_unmapped_type_is_an_error() -> None:
    """A new column type must be given a Flink type."""
    with pytest.raises(KeyError):
        ddl.flink_type(Column("x", "uuid", required=True, doc="x"))


def test_every_declared_type_has_a_flink_type() -> None:
    """All tables can be read and written by Flink."""
    assert all(ddl.flink_type(column) for table in tables() for column in table.columns)


def test_the_watermark_is_behind_by_the_setting() -> None:
    """The source's DDL carries delay, tolerance and memory."""
    flink = FlinkSettings(watermark_delay_seconds=3.5, future_tolerance_seconds=7)
    settings = JobSettings(flink=flink)
    text = ddl.source(Tick, "ticks", settings, timedelta(minutes=10))

    assert "'watermark-delay' = '3500 ms'" in text
    assert "'future-tolerance' = '7000 ms'" in text
    assert "'remember' = '600000 ms'" in text


def test_checkpoints_are_aligned_and_the_sink_is_the_safe_one() -> None:
    """Unaligned checkpoints lose files with Iceberg's V1 sink; V2 loses commits on a restart."""
    options = configuration(job("ticks"), JobSettings())

    assert options["execution.checkpointing.unaligned.enabled"] == "false"
    assert options["table.exec.iceberg.use-v2-sink"] == "false"
    assert options["state.backend.type"] == "rocksdb"
