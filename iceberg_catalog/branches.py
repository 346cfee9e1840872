"""Write rows into a branch of a table, and publish them to main when they are found good.

Main goes on meanwhile, so the branch cannot become main: its new files are added to main, in one
snapshot, which is what Iceberg calls to cherry-pick an append. Trino 476 reads branches and cannot
write them, so the rows go through here, a batch at a time.
"""

import warnings
from collections.abc import Iterable, Iterator

import pyarrow as pa
from pyiceberg.catalog import Catalog
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table
from pyiceberg.typedef import Identifier

from connectors.errors import TicklakeError

# In the summary of each snapshot that is written into a branch here, with the branch's name.
MARK = "ticklake.branch"
# The same on main; another key, for the next branch of that name begins there.
PUBLISHED = "ticklake.published"
_BATCH_ROWS = 500_000


def begin(catalog: Catalog, name: Identifier, branch: str) -> None:
    """Let the branch begin at the newest snapshot of main.

    One that was left by an earlier replay is made anew.

    Raises:
        TicklakeError: somebody else's branch or tag has the name.
    """
    table = catalog.load_table(name)
    if branch in table.refs():
        head = table.snapshot_by_name(branch)
        summary = head.summary if head else None
        if summary is None or summary.get(MARK) != branch:
            raise TicklakeError(
                f"{'.'.join(name)} has a branch or tag {branch} that no replay made; choose another"
            )
        table.manage_snapshots().remove_branch(branch).commit()
        table = table.refresh()
    if table.current_snapshot() is None:
        # PyIceberg begins no branch on nothing: a snapshot without rows comes first.
        with table.transaction() as transaction:
            transaction.update_snapshot().fast_append().commit()
        table = table.refresh()
    if head := table.current_snapshot():
        table.manage_snapshots().create_branch(head.snapshot_id, branch).commit()


def write(catalog: Catalog, source: Identifier, target: Identifier, branch: str) -> None:
    """Append all rows of one table to the branch of another that has the same columns."""
    rows = catalog.load_table(source).scan().to_arrow_batch_reader()
    table = catalog.load_table(target)
    with table.transaction() as transaction, warnings.catch_warnings():
        # a setting for Flink and Trino that PyIceberg's writer lacks
        warnings.filterwarnings("ignore", "Parquet writer option", UserWarning)
        for batch in _batches(rows):
            transaction.append(batch, snapshot_properties={MARK: branch}, branch=branch)


def publish(catalog: Catalog, name: Identifier, branch: str) -> None:
    """Add the branch's new files to main, in one snapshot, and drop the branch."""
    table = catalog.load_table(name)
    files = list(_added(table, branch))
    with (
        table.transaction() as transaction,
        transaction.update_snapshot(
            snapshot_properties={PUBLISHED: branch}
        ).fast_append() as append,
    ):
        for file in files:
            append.append_data_file(file)
    catalog.load_table(name).manage_snapshots().remove_branch(branch).commit()


def _batches(reader: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    waiting: list[pa.RecordBatch] = []
    for batch in reader:
        waiting.append(batch)
        if sum(b.num_rows for b in waiting) >= _BATCH_ROWS:
            yield pa.Table.from_batches(waiting)
            waiting = []
    if waiting:
        yield pa.Table.from_batches(waiting)


def _added(table: Table, branch: str) -> Iterator[DataFile]:
    """The files that the snapshots of this module have added to the branch."""
    snapshot = table.snapshot_by_name(branch)
    while snapshot and snapshot.summary and snapshot.summary.get(MARK) == branch:
        for manifest in snapshot.manifests(table.io):
            if manifest.added_snapshot_id == snapshot.snapshot_id:
                for entry in manifest.fetch_manifest_entry(table.io):
                    yield entry.data_file
        parent = snapshot.parent_snapshot_id
        snapshot = table.snapshot_by_id(parent) if parent is not None else None
