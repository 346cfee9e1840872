package ticklake.flink;

import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import org.apache.flink.api.common.TaskInfo;
import org.apache.flink.api.common.state.ListState;
import org.apache.flink.api.common.state.ListStateDescriptor;
import org.apache.flink.api.common.state.MapState;
import org.apache.flink.api.common.state.MapStateDescriptor;
import org.apache.flink.api.common.typeinfo.PrimitiveArrayTypeInfo;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.metrics.Counter;
import org.apache.flink.runtime.state.KeyGroupRange;
import org.apache.flink.runtime.state.KeyGroupRangeAssignment;
import org.apache.flink.runtime.state.StateInitializationContext;
import org.apache.flink.runtime.state.StateSnapshotContext;
import org.apache.flink.streaming.api.operators.AbstractStreamOperator;
import org.apache.flink.streaming.api.operators.BoundedOneInput;
import org.apache.flink.streaming.api.operators.OneInputStreamOperator;
import org.apache.flink.streaming.api.watermark.Watermark;
import org.apache.flink.streaming.runtime.streamrecord.StreamRecord;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.data.TimestampData;
import org.apache.flink.table.types.logical.RowType;

/**
 * Every record is counted, and goes to one table: the first of an id to its own, or to that for
 * late rows; the same id with other content to the dead letters; a copy nowhere.
 *
 * <p>Ahead of each checkpoint's barrier it adds a receipt for each partition: these offsets, so
 * many records, and what became of them. The receipt travels with the rows that it counts, so both
 * are committed, or neither.
 */
final class Intake extends AbstractStreamOperator<RowData>
        implements OneInputStreamOperator<RowData, RowData>, BoundedOneInput {

    private static final long serialVersionUID = 1L;
    static final String DEAD = "dead_letters";
    static final String RECEIPTS = "commit_receipts";

    private final EventSpec spec;
    private final RowType type;
    private final String job;
    private final long rememberMillis;
    private final long mostIds;
    private final int width;

    private transient Memory memory;
    private transient MapState<byte[], byte[]> blocks;
    private transient ListState<Long> watermarks;
    private transient Map<Integer, Tally> tallies;
    private transient Tally tally;
    private transient int tallied;
    private transient long watermark;
    private transient long newestCheckpoint;
    private transient StringData deadTable;
    private transient RowData.FieldGetter[] getters;
    private transient StreamRecord<RowData> out;
    private transient Counter duplicates;
    private transient Counter conflicts;
    private transient Counter late;
    private transient Counter dead;

    Intake(EventSpec spec, RowType type, String job, long rememberMillis, long mostIds) {
        this.spec = spec;
        this.type = type;
        this.job = job;
        this.rememberMillis = rememberMillis;
        this.mostIds = mostIds;
        this.width = spec.fields.size();
    }

    @Override
    public void initializeState(StateInitializationContext context) throws Exception {
        super.initializeState(context);
        int groups = getRuntimeContext().getTaskInfo().getMaxNumberOfParallelSubtasks();
        memory = new Memory(rememberMillis, mostIds, groups);
        blocks =
                context.getKeyedStateStore()
                        .getMapState(
                                new MapStateDescriptor<>(
                                        "ids",
                                        PrimitiveArrayTypeInfo.BYTE_PRIMITIVE_ARRAY_TYPE_INFO,
                                        PrimitiveArrayTypeInfo.BYTE_PRIMITIVE_ARRAY_TYPE_INFO));
        watermarks =
                context.getOperatorStateStore()
                        .getUnionListState(new ListStateDescriptor<>("watermark", Types.LONG));
        watermark = Long.MIN_VALUE;
        if (context.isRestored()) {
            memory.restore(blocks, this::eachGroup);
            watermark = restoredWatermark();
        }
    }

    /** Windows that were closed stay closed: what comes for them after a restart is late. */
    private long restoredWatermark() throws Exception {
        long lowest = Long.MAX_VALUE;
        for (long mark : watermarks.get()) {
            lowest = Math.min(lowest, mark);
        }
        return lowest == Long.MAX_VALUE ? Long.MIN_VALUE : lowest;
    }

    @Override
    public void open() throws Exception {
        super.open();
        tallies = new TreeMap<>();
        tallied = -1;
        deadTable = EventSpec.text(DEAD);
        out = new StreamRecord<>(null);
        getters = new RowData.FieldGetter[type.getFieldCount()];
        for (int i = 0; i < getters.length; i++) {
            getters[i] = RowData.createFieldGetter(type.getTypeAt(i), i);
        }
        duplicates = getMetricGroup().counter("duplicates");
        conflicts = getMetricGroup().counter("conflicts");
        late = getMetricGroup().counter("lateRows");
        dead = getMetricGroup().counter("deadLetters");
        getMetricGroup().gauge("rememberedIds", () -> memory.size());
    }

    /** Its state is read and written by blocks, so no record needs a key set. */
    @Override
    public boolean hasKeyContext1() {
        return false;
    }

    @Override
    public boolean hasKeyContext() {
        return false;
    }

    @Override
    public void processElement(StreamRecord<RowData> record) {
        GenericRowData row = writable(record.getValue());
        long arrival = ((TimestampData) row.getField(width + Columns.INGESTED_AT)).getMillisecond();
        int partition = (int) row.getField(width + Columns.PARTITION);
        if (partition != tallied) {
            tally = tallies.computeIfAbsent(partition, p -> new Tally());
            tallied = partition;
        }
        tally.see((long) row.getField(width + Columns.OFFSET), arrival);
        if (row.getField(width + Columns.ERROR_CODE) == null && !first(row, arrival)) {
            return;
        }
        if (row.getField(width + Columns.ERROR_CODE) != null) {
            tally.dead++;
            dead.inc();
            row.setField(width + Columns.TABLE, deadTable);
        } else {
            row.setField(width + Columns.PAYLOAD, null);
        }
        output.collect(record.replace(row));
    }

    /** False for a copy. */
    private boolean first(GenericRowData row, long arrival) {
        long event = ((TimestampData) row.getField(width + Columns.ROWTIME)).getMillisecond();
        long windowEnd = spec.windowEnd(event);
        long id = (long) row.getField(width + Columns.ID_HASH);
        long content = (long) row.getField(width + Columns.CONTENT_HASH);
        switch (memory.remember(id, content, arrival, windowEnd)) {
            case SAME -> {
                tally.duplicates++;
                duplicates.inc();
                return false;
            }
            case OTHER -> {
                conflicts.inc();
                row.setField(width + Columns.ERROR_CODE, StringData.fromString("conflict"));
                row.setField(
                        width + Columns.ERROR_MESSAGE,
                        StringData.fromString(
                                "event_id " + row.getField(spec.id)
                                        + " came before with other content; the first is kept: give another"
                                        + " event another id, and a correction a revision in its id"));
            }
            default -> place(row, windowEnd);
        }
        return true;
    }

    /** Late is what a window would drop: its last millisecond is at or behind the watermark. */
    private void place(GenericRowData row, long windowEnd) {
        StringData lateTable = windowEnd <= watermark ? spec.kindOf(row).lateTable : null;
        if (lateTable == null) {
            tally.stored++;
        } else {
            row.setField(width + Columns.TABLE, lateTable);
            tally.late++;
            late.inc();
        }
    }

    /** Behind an exchange rows come in binary form. */
    private GenericRowData writable(RowData row) {
        if (row instanceof GenericRowData generic) {
            return generic;
        }
        GenericRowData copy = new GenericRowData(getters.length);
        for (int i = 0; i < getters.length; i++) {
            copy.setField(i, getters[i].getFieldOrNull(row));
        }
        return copy;
    }

    @Override
    public void processWatermark(Watermark mark) throws Exception {
        watermark = Math.max(watermark, mark.getTimestamp());
        super.processWatermark(mark);
    }

    @Override
    public void prepareSnapshotPreBarrier(long checkpoint) {
        receipts(checkpoint);
        newestCheckpoint = checkpoint;
    }

    @Override
    public void endInput() {
        receipts(newestCheckpoint + 1);
    }

    private void receipts(long checkpoint) {
        String run = getRuntimeContext().getJobInfo().getJobId().toHexString();
        int subtask = getRuntimeContext().getTaskInfo().getIndexOfThisSubtask();
        tallies.forEach(
                (partition, counted) -> {
                    GenericRowData row = new GenericRowData(width + Columns.NAMES.size());
                    TimestampData now = TimestampData.fromEpochMillis(counted.newestArrival);
                    row.setField(width + Columns.TABLE, EventSpec.text(RECEIPTS));
                    row.setField(width + Columns.PARTITION, partition);
                    row.setField(width + Columns.INGESTED_AT, now);
                    row.setField(width + Columns.ROWTIME, now);
                    row.setField(width + Columns.RECEIPT, counted.receipt(job, run, checkpoint, subtask));
                    output.collect(out.replace(row));
                });
        tallies.clear();
        tallied = -1;
    }

    @Override
    public void snapshotState(StateSnapshotContext context) throws Exception {
        super.snapshotState(context);
        // Where nothing is late, time alone decides what is forgotten.
        long passed = spec.windowMillis == 0 ? Long.MAX_VALUE : watermark;
        memory.checkpoint(context.getCheckpointId(), passed, blocks, this::eachGroup);
        watermarks.update(List.of(watermark));
    }

    private void eachGroup(Memory.GroupAction action) throws Exception {
        TaskInfo task = getRuntimeContext().getTaskInfo();
        int groups = task.getMaxNumberOfParallelSubtasks();
        KeyGroupRange mine =
                KeyGroupRangeAssignment.computeKeyGroupRangeForOperatorIndex(
                        groups, task.getNumberOfParallelSubtasks(), task.getIndexOfThisSubtask());
        Set<Integer> done = new HashSet<>();
        // any key that belongs to the group will do
        for (int key = 0; done.size() < mine.getNumberOfKeyGroups(); key++) {
            int group = KeyGroupRangeAssignment.assignToKeyGroup(key, groups);
            if (mine.contains(group) && done.add(group)) {
                setCurrentKey(key);
                action.in(group);
            }
        }
    }
}
