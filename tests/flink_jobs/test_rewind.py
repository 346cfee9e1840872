"""A start from an old state is refused where the lake has commits behind it."""

import os
import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from pyiceberg.catalog import Catalog
from pyiceberg.catalog.sql import SqlCatalog

from connectors.errors import TicklakeError
from flink_jobs import rewind, state
from flink_jobs.settings import FlinkSettings, JobSettings
from iceberg_catalog import apply
from iceberg_catalog.settings import CatalogSettings
from iceberg_catalog.tables import table

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Catalog:
    """An empty table of receipts, in a catalog that is a file."""
    found = SqlCatalog(
        "lake", uri=f"sqlite:///{tmp_path}/catalog", warehouse=f"file://{tmp_path}/warehouse"
    )
    receipts = [table("commit_receipts")]
    apply.apply(found, receipts, apply.plan(found, receipts))
    with found.load_table(("bronze", "commit_receipts")).transaction() as change:
        change.remove_properties("write.parquet.row-group-size-bytes")  # PyIceberg has it not
    monkeypatch.setattr(rewind, "connect", lambda _: found)
    return found


@pytest.fixture
def settings(tmp_path: Path) -> JobSettings:
    """States lie in a folder of the test's own."""
    return JobSettings(
        flink=FlinkSettings(state_dir=f"file://{tmp_path}/state"),
        catalog=CatalogSettings(uri="postgresql://127.0.0.1:1/none"),
    )


def make_state(settings: JobSettings, number: int, made: datetime) -> str:
    """A checkpoint as Flink leaves it, as far as anyone looks; its URI."""
    folder = Path(state.checkpoints(settings.flink, "ticks").removeprefix("file://"))
    place = folder / "abc" / f"chk-{number}"
    place.mkdir(parents=True)
    (place / "_metadata").write_bytes(struct.pack(">iiq", 0x4960672D, 4, number) + b"more")
    os.utime(place / "_metadata", (made.timestamp(), made.timestamp()))
    return place.as_uri()


def commit(catalog: Catalog, number: int, at: datetime, job: str = "ticks") -> None:
    """A receipt of a checkpoint."""
    receipts = catalog.load_table(("bronze", "commit_receipts"))
    schema = receipts.schema().as_arrow()
    row = {
        field.name: at if str(field.type).startswith("timestamp") else job if field.name == "job"
        else number if field.name == "checkpoint_id" else 0 if str(field.type) == "int64" else "x"
        for field in schema
    }  # fmt: skip
    receipts.append(pa.Table.from_pylist([row], schema=schema))


def test_an_older_state_is_refused_where_the_lake_went_on(
    catalog: Catalog, settings: JobSettings
) -> None:
    """One line: which checkpoint it is, how far the lake is, and both ways out."""
    old = make_state(settings, 7, NOW)
    make_state(settings, 9, NOW + timedelta(seconds=10))
    commit(catalog, 9, NOW + timedelta(seconds=9))

    with pytest.raises(TicklakeError, match=r"checkpoint 7 of ticks.*up to checkpoint 9") as error:
        rewind.require_newest(settings, "ticks", old)

    assert "\n" not in str(error.value)
    assert "`ticklake submit ticks` goes on from the newest" in str(error.value)
    assert "--rewind" in str(error.value)


def test_the_newest_state_is_not_refused_however_it_is_spelt(
    catalog: Catalog, settings: JobSettings
) -> None:
    """Its own commit may be younger than it is."""
    newest = make_state(settings, 9, NOW)
    commit(catalog, 9, NOW + timedelta(seconds=1))

    rewind.require_newest(settings, "ticks", newest + "/")


def test_an_older_state_behind_which_nothing_was_committed_is_not_refused(
    catalog: Catalog, settings: JobSettings
) -> None:
    """Receipts of it, of those before it, and of another job do not speak against it."""
    old = make_state(settings, 7, NOW)
    make_state(settings, 9, NOW + timedelta(seconds=10))
    commit(catalog, 7, NOW - timedelta(seconds=1))
    commit(catalog, 50, NOW + timedelta(hours=1), job="events")

    rewind.require_newest(settings, "ticks", old)


def test_a_state_of_a_former_history_is_refused_though_its_number_is_higher(
    catalog: Catalog, settings: JobSettings
) -> None:
    """A fresh start counts checkpoints from 1 again."""
    old = make_state(settings, 500, NOW)
    make_state(settings, 3, NOW + timedelta(hours=1))
    commit(catalog, 3, NOW + timedelta(hours=1))

    with pytest.raises(TicklakeError, match="up to checkpoint 3"):
        rewind.require_newest(settings, "ticks", old)


@pytest.mark.parametrize("content", [b"", b"no checkpoint of Flink at all"])
def test_what_is_no_state_is_refused(
    catalog: Catalog, settings: JobSettings, tmp_path: Path, content: bytes
) -> None:
    """A folder that a typing error names must not start a job."""
    (tmp_path / "_metadata").write_bytes(content)

    with pytest.raises(TicklakeError, match="checkpoint"):
        rewind.require_newest(settings, "ticks", tmp_path.as_uri())


def test_no_state_at_all_is_refused(catalog: Catalog, settings: JobSettings) -> None:
    """Neither a folder that is not there nor something that is no URI."""
    for given in ("file:///nowhere/chk-1", "nonsense"):
        with pytest.raises(TicklakeError, match="no complete checkpoint"):
            rewind.require_newest(settings, "ticks", given)
