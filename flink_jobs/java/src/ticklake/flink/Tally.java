package ticklake.flink;

import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.StringData;

/** What became of the records of one partition since the last receipt. */
final class Tally {

    long first = Long.MAX_VALUE;
    long next;
    long records;
    long stored;
    long late;
    long duplicates;
    long dead;
    long newestArrival;

    void see(long offset, long arrival) {
        first = Math.min(first, offset);
        next = Math.max(next, offset + 1);
        newestArrival = Math.max(newestArrival, arrival);
        records++;
    }

    /** The columns of CommitReceipt (connectors/events.py) that the cluster knows. */
    GenericRowData receipt(String job, String run, long checkpoint, int subtask) {
        return GenericRowData.of(
                StringData.fromString(job), StringData.fromString(run), checkpoint, (long) subtask,
                first, next, records, stored, late, duplicates, dead);
    }
}
