"""Tables follow the declaration: the same behaviour over every kind of catalog."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.partitioning import PartitionSpec
from pyiceberg.table.sorting import SortOrder
from pyiceberg.types import LongType

from connectors.change import Change
from connectors.errors import TicklakeError, UnavailableError
from connectors.stream import Column
from iceberg_catalog import apply as lake
from iceberg_catalog.schema import iceberg_type, partition_spec, schema, sort_order
from iceberg_catalog.tables import Table, table, tables

TRADES = table("raw_trades")
LIQUIDITY = Column("liquidity", "string", required=False, doc="maker or taker")


def bring(catalog: Catalog, *wanted: Table) -> list[Change]:
    """Plan and apply; what was planned."""
    changes = lake.plan(catalog, wanted)
    lake.apply(catalog, wanted, changes)
    return changes


def with_columns(**changed: Mapping[str, object]) -> Table:
    """The trades' table with other facts of some columns."""
    return replace(
        TRADES, columns=tuple(replace(c, **changed.get(c.name, {})) for c in TRADES.columns)
    )


def without(*names: str) -> Table:
    """The trades' table with fewer columns."""
    return replace(TRADES, columns=tuple(c for c in TRADES.columns if c.name not in names))


def more(column: Column) -> Table:
    """The trades' table with one more column."""
    return replace(TRADES, columns=(*TRADES.columns, column))


def test_all_declared_tables_are_made_once(catalog: Catalog) -> None:
    """A second apply has nothing to do."""
    first = bring(catalog, *tables())

    assert len(tables()) + 1 == len(first)
    assert {"create"} == {change.action for change in first}
    assert lake.plan(catalog, tables()) == []


@pytest.mark.parametrize("declared", tables(), ids=lambda t: t.name)
def test_every_table_has_a_schema(declared: Table) -> None:
    """Types, partition and order of each declared table exist in Iceberg's terms."""
    fields = schema(declared)

    assert [c.name for c in declared.columns] == [f.name for f in fields.fields]
    assert [c.required for c in declared.columns] == [f.required for f in fields.fields]
    assert len(partition_spec(declared, fields).fields) == 1
    assert len(declared.sort) == len(sort_order(declared, fields).fields)


def test_a_table_is_as_declared(catalog: Catalog) -> None:
    """Columns with their words, partition, sort order, properties and format version."""
    bring(catalog, TRADES)

    stored = catalog.load_table(TRADES.identifier)

    assert [(c.name, str(iceberg_type(c.type)), c.required, c.doc) for c in TRADES.columns] == [
        (f.name, str(f.field_type), f.required, f.doc) for f in stored.schema().fields
    ]
    time = stored.schema().find_field("timestamp").field_id
    assert [(time, "day")] == [(f.source_id, str(f.transform)) for f in stored.spec().fields]
    assert [stored.schema().find_column_name(f.source_id) for f in stored.sort_order().fields] == [
        "asset_pair",
        "timestamp",
    ]
    assert stored.properties["comment"] == TRADES.doc
    assert stored.properties["write.parquet.compression-codec"] == "zstd"
    assert stored.format_version == 2


def test_an_optional_column_is_added_at_the_end(catalog: Catalog) -> None:
    """The way events evolve: stored rows have no value in it."""
    bring(catalog, TRADES)

    changes = bring(catalog, more(LIQUIDITY))

    stored = catalog.load_table(TRADES.identifier)
    assert [change.detail for change in changes] == ["add column liquidity string"]
    assert stored.schema().fields[-1].name == "liquidity"
    assert not stored.schema().find_field("liquidity").required


def test_types_widen(catalog: Catalog) -> None:
    """An int becomes a long, a decimal takes more digits before the point."""
    bring(catalog, TRADES)
    wider = with_columns(
        _kafka_partition={"type": "long"}, price={"type": "decimal(28, 8)"}, size={"doc": "amount"}
    )

    changes = bring(catalog, wider)

    stored = catalog.load_table(TRADES.identifier)
    assert len(changes) == 3
    assert LongType() == stored.schema().find_type("_kafka_partition")
    assert str(stored.schema().find_type("price")) == "decimal(28, 8)"
    assert stored.schema().find_field("size").doc == "amount"
    assert lake.plan(catalog, [wider]) == []


def test_a_required_column_may_become_optional(catalog: Catalog) -> None:
    """Stored rows all have a value; later ones may not."""
    bring(catalog, TRADES)

    bring(catalog, with_columns(price={"required": False}))

    assert not catalog.load_table(TRADES.identifier).schema().find_field("price").required


def test_a_changed_property_is_set_and_others_stay(catalog: Catalog) -> None:
    """What the declaration does not name belongs to someone else."""
    bring(catalog, TRADES)
    catalog.load_table(TRADES.identifier).transaction().set_properties(
        {"owner": "desk", "write.parquet.compression-codec": "gzip"}
    ).commit_transaction()

    changes = bring(catalog, TRADES)

    stored = catalog.load_table(TRADES.identifier)
    assert [c.detail for c in changes] == ["property write.parquet.compression-codec: gzip to zstd"]
    assert stored.properties["write.parquet.compression-codec"] == "zstd"
    assert stored.properties["owner"] == "desk"


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (without("trade_id"), "column trade_id is no longer declared"),
        (with_columns(trade_id={"name": "venue_id"}), "trade_id was renamed to venue_id"),
        (with_columns(price={"type": "decimal(16, 8)"}), "price is decimal(18, 8) and cannot"),
        (with_columns(price={"type": "decimal(18, 6)"}), "price is decimal(18, 8) and cannot"),
        (
            with_columns(_kafka_offset={"type": "int"}),
            "_kafka_offset is long and cannot",
        ),
        (with_columns(trade_id={"required": True}), "trade_id may be empty and cannot become"),
        (
            more(Column("venue", "string", required=True, doc="venue")),
            "column venue is newly required",
        ),
        (replace(TRADES, partition="month"), "is partitioned by day(timestamp)"),
        (replace(TRADES, sort=("source_provider",)), "is sorted by asset_pair, timestamp"),
    ],
    ids=["remove", "rename", "digits", "scale", "narrow", "require", "add", "partition", "sort"],
)
def test_what_would_lose_is_refused(catalog: Catalog, wanted: Table, said: str) -> None:
    """The plan says why, apply raises it as one sentence, and nothing is changed."""
    bring(catalog, TRADES)
    before = catalog.load_table(TRADES.identifier).metadata

    changes = lake.plan(catalog, [wanted])

    assert {"refuse"} == {change.action for change in changes}
    assert said in changes[0].detail
    with pytest.raises(TicklakeError, match=r"table bronze\.raw_trades: ") as caught:
        lake.apply(catalog, [wanted], changes)
    assert caught.value.exit_code == 2
    assert before == catalog.load_table(TRADES.identifier).metadata


def test_one_refusal_stops_the_other_tables_too(catalog: Catalog) -> None:
    """Half an apply would be a state that nobody declared."""
    bring(catalog, TRADES)
    wanted = [without("trade_id"), table("raw_quotes")]

    with pytest.raises(TicklakeError, match="nothing was changed"):
        lake.apply(catalog, wanted, lake.plan(catalog, wanted))

    assert not catalog.table_exists(("bronze", "raw_quotes"))


def test_a_table_made_otherwise_is_refused(catalog: Catalog) -> None:
    """A table without partition and order, made by hand, is named with both."""
    catalog.create_namespace("bronze")
    catalog.create_table(
        TRADES.identifier, schema(TRADES), partition_spec=PartitionSpec(), sort_order=SortOrder()
    )

    details = [change.detail for change in lake.plan(catalog, [TRADES])]

    assert any("is partitioned by nothing" in detail for detail in details)
    assert any("is sorted by nothing" in detail for detail in details)


def test_a_commit_in_between_is_tried_again(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Flink commits at any moment: apply looks again and goes on."""
    bring(catalog, TRADES)
    wanted = more(LIQUIDITY)
    changes = lake.plan(catalog, [wanted])
    evolve, failures = lake._evolve, iter([True, True])  # noqa: SLF001 - stands for a race

    def beaten(*given: object) -> None:
        if next(failures, False):
            raise CommitFailedException("someone was faster")
        evolve(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(lake, "_evolve", beaten)
    lake.apply(catalog, [wanted], changes)

    assert lake.plan(catalog, [wanted]) == []


def test_a_table_that_never_rests_is_an_unknown_outcome(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After some attempts the command gives up, with exit code 3."""
    bring(catalog, TRADES)
    wanted = more(LIQUIDITY)
    changes = lake.plan(catalog, [wanted])

    def beaten(*_: object) -> None:
        raise CommitFailedException("someone was faster")

    monkeypatch.setattr(lake, "_evolve", beaten)

    with pytest.raises(UnavailableError, match="changed by others"):
        lake.apply(catalog, [wanted], changes)
