"""Staged tables and branches: the same behaviour over every kind of catalog."""

from datetime import UTC, datetime
from decimal import Decimal

import pyarrow as pa
import pytest
from pyiceberg.catalog import Catalog

from connectors.errors import TicklakeError
from iceberg_catalog import apply as lake
from iceberg_catalog import branches, staging
from iceberg_catalog.tables import table

TRADES = table("raw_trades")
SOURCE = ("replay", "raw_trades_missing")

pytestmark = pytest.mark.filterwarnings("ignore:Parquet writer option:UserWarning")


def add(catalog: Catalog, name: tuple[str, str], *numbers: int) -> None:
    """Append trades, each of another day."""
    stored = catalog.load_table(name)
    rows = [
        {
            "event_id": f"x:{number}",
            "source_provider": "x",
            "asset_pair": "BTCUSD",
            "timestamp": datetime(2026, 11, number, tzinfo=UTC),
            "price": Decimal(number),
            "size": Decimal(1),
            "is_mock": True,
            "_kafka_partition": 0,
            "_kafka_offset": number,
            "_ingested_at": datetime(2026, 11, number, tzinfo=UTC),
        }
        for number in numbers
    ]
    stored.append(pa.Table.from_pylist(rows, schema=stored.schema().as_arrow()))


def offsets(catalog: Catalog, branch: str = "main") -> list[int]:
    """The offsets that a branch of the bronze table holds."""
    found = catalog.load_table(TRADES.identifier)
    snapshot = found.snapshot_by_name(branch)
    if snapshot is None:
        return []
    rows = found.scan(snapshot_id=snapshot.snapshot_id).to_arrow()
    return sorted(rows["_kafka_offset"].to_pylist())


@pytest.fixture
def bronze(catalog: Catalog) -> Catalog:
    """The bronze table, and rows staged for it."""
    lake.apply(catalog, [TRADES], lake.plan(catalog, [TRADES]))
    staging.renew(catalog, "replay", [(SOURCE[1], TRADES)])
    add(catalog, SOURCE, 3, 4)
    return catalog


def test_a_branch_is_published_beside_what_came_meanwhile(bronze: Catalog) -> None:
    """Main is untouched until then; it goes on; the branch is gone behind it."""
    add(bronze, TRADES.identifier, 1)
    branches.begin(bronze, TRADES.identifier, "B")
    branches.write(bronze, SOURCE, TRADES.identifier, "B")
    add(bronze, TRADES.identifier, 2)

    seen = offsets(bronze), offsets(bronze, "B")
    branches.publish(bronze, TRADES.identifier, "B")

    assert seen == ([1, 2], [1, 3, 4])
    assert offsets(bronze) == [1, 2, 3, 4]
    assert set(bronze.load_table(TRADES.identifier).refs()) == {"main"}


def test_a_name_may_be_used_again(bronze: Catalog) -> None:
    """What was published under it before is not published again."""
    for number in (5, 6):
        branches.begin(bronze, TRADES.identifier, "B")
        branches.write(bronze, SOURCE, TRADES.identifier, "B")
        branches.publish(bronze, TRADES.identifier, "B")
        staging.renew(bronze, "replay", [(SOURCE[1], TRADES)])
        add(bronze, SOURCE, number)

    assert offsets(bronze) == [3, 4, 5]


def test_the_branch_of_an_empty_table(bronze: Catalog) -> None:
    """It has no snapshot to begin at."""
    branches.begin(bronze, TRADES.identifier, "B")
    branches.write(bronze, SOURCE, TRADES.identifier, "B")
    before = offsets(bronze)
    branches.publish(bronze, TRADES.identifier, "B")

    assert before == []
    assert offsets(bronze) == [3, 4]


def test_a_left_branch_is_made_anew_and_another_s_is_not(bronze: Catalog) -> None:
    """What a failed replay left does not count; what a person made is refused."""
    add(bronze, TRADES.identifier, 1)
    for _ in range(2):
        branches.begin(bronze, TRADES.identifier, "B")
        branches.write(bronze, SOURCE, TRADES.identifier, "B")
    stored = bronze.load_table(TRADES.identifier)
    head = stored.current_snapshot()
    assert head is not None
    stored.manage_snapshots().create_branch(head.snapshot_id, "mine").commit()

    assert offsets(bronze, "B") == [1, 3, 4]
    with pytest.raises(TicklakeError, match="has a branch or tag mine that no replay made"):
        branches.begin(bronze, TRADES.identifier, "mine")


def test_many_rows_go_in_batches_and_are_published_at_once(
    bronze: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several snapshots on the branch, one on main."""
    monkeypatch.setattr(branches, "_BATCH_ROWS", 1)
    add(bronze, TRADES.identifier, 1)
    branches.begin(bronze, TRADES.identifier, "B")
    branches.write(bronze, SOURCE, TRADES.identifier, "B")
    branches.publish(bronze, TRADES.identifier, "B")
    stored = bronze.load_table(TRADES.identifier)
    head = stored.current_snapshot()

    assert offsets(bronze) == [1, 3, 4]
    assert head is not None
    parent = stored.snapshot_by_id(head.parent_snapshot_id or 0)
    assert parent is not None
    assert parent.parent_snapshot_id is None


def test_staged_tables_are_made_anew_and_dropped(bronze: Catalog) -> None:
    """Nothing of an earlier run is left; dropping what is not there is no fault."""
    staging.renew(bronze, "replay", [(SOURCE[1], TRADES)])
    empty = bronze.load_table(SOURCE).scan().to_arrow().num_rows
    for _ in range(2):
        staging.drop(bronze, "replay", [SOURCE[1]])

    assert empty == 0
    assert bronze.list_tables("replay") == []
