"""A start from an old state would store again what the lake already has: it is refused."""

from pyiceberg.exceptions import NoSuchTableError

from connectors.errors import TicklakeError
from flink_jobs import state
from flink_jobs.settings import JobSettings
from iceberg_catalog.catalog import connect, faults
from iceberg_catalog.tables import NAMESPACE

_RECEIPTS = (NAMESPACE, "commit_receipts")


def require_newest(settings: JobSettings, job: str, savepoint: str) -> None:
    """Refuse a state behind which the job has gone on and committed.

    The job's newest state is never refused, nor is one behind which nothing was committed.

    Raises:
        TicklakeError: the lake has receipts of later checkpoints; or this is no state.
        UnavailableError: the catalog does not answer, so nobody can tell.
    """
    given = state.read(savepoint)
    newest = state.newest(settings.flink, job)
    if state.same(savepoint, newest):
        return
    later = _committed_behind(settings, job, given)
    if later is None:
        return
    instead = f" `ticklake submit {job}` goes on from the newest." if newest else ""
    raise TicklakeError(
        f"{savepoint} is checkpoint {given.number} of {job}, and the lake has commits up to "
        f"checkpoint {later}: a start from there would store what came between a second time."
        f"{instead} To start from it all the same, remove those rows first and say --rewind"
    )


def _committed_behind(settings: JobSettings, job: str, given: state.Checkpoint) -> int | None:
    """The newest checkpoint behind a state whose receipts are in the lake.

    Numbers go up through restarts but begin anew with a fresh start; then time tells: a state
    cannot hold what arrived after it was made.
    """
    behind = f"checkpoint_id > {given.number} OR timestamp > '{given.made.isoformat()}'"
    with faults(settings.catalog), connect(settings.catalog) as catalog:
        try:
            receipts = catalog.load_table(_RECEIPTS)
        except NoSuchTableError:
            return None
        scan = receipts.scan(f"job = '{job}' AND ({behind})", selected_fields=("checkpoint_id",))
        found = scan.to_arrow()["checkpoint_id"].to_pylist()
    return max(found, default=None)
