package ticklake.flink;

import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.Iterator;
import java.util.LinkedHashSet;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import org.apache.flink.api.common.state.MapState;
import org.apache.flink.runtime.state.KeyGroupRangeAssignment;

/**
 * The ids that the intake remembers: found in memory, kept in Flink's keyed state.
 *
 * <p>A look never leaves the heap. What came since the last checkpoint is put into the state as one
 * block for each key group, so that RocksDB checkpoints it incrementally and a job may change its
 * parallelism; a row of state for each id was half of the job's work. Ids are grouped into
 * generations by append time; a generation is forgotten as a whole.
 */
final class Memory {

    private static final int GENERATIONS = 4; // in one time of remembering
    private static final int ENTRY = 3; // longs that wait for the next checkpoint: id, content, key group

    /** Ids of one span of append time. */
    private static final class Generation {
        final IdTable table = new IdTable();
        final Set<Long> blocks = new LinkedHashSet<>(); // numbers of its blocks in the state
        long newestEvent = Long.MIN_VALUE; // milliseconds
        long[] waiting = new long[ENTRY * 1024];
        int waits;
    }

    private final long span;
    private final long rememberMillis;
    private final long mostIds;
    private final int maxParallelism;
    private final TreeMap<Long, Generation> generations = new TreeMap<>();
    private Generation current;
    private long currentNumber = Long.MIN_VALUE;
    private long newestArrival = Long.MIN_VALUE;
    private long size;

    Memory(long rememberMillis, long mostIds, int maxParallelism) {
        this.span = Math.max(1, rememberMillis / GENERATIONS);
        this.rememberMillis = rememberMillis;
        this.mostIds = mostIds;
        this.maxParallelism = maxParallelism;
    }

    long size() {
        return size;
    }

    /** What {@link #remember} answers. */
    enum Found {
        NEW,
        SAME,
        OTHER
    }

    /**
     * Looks an id up and remembers it if it is new.
     *
     * @param arrival append time, milliseconds
     * @param event event time, milliseconds
     */
    Found remember(long id, long content, long arrival, long event) {
        long number = Math.floorDiv(arrival, span);
        if (number != currentNumber) {
            currentNumber = number;
            current = generations.computeIfAbsent(number, n -> new Generation());
        }
        newestArrival = Math.max(newestArrival, arrival);
        int slot = current.table.find(id);
        if (slot >= 0) {
            return current.table.content(slot) == content ? Found.SAME : Found.OTHER;
        }
        if (generations.size() > 1) {
            for (Generation other : generations.values()) {
                int there = other == current ? -1 : other.table.find(id);
                if (there >= 0) {
                    return other.table.content(there) == content ? Found.SAME : Found.OTHER;
                }
            }
        }
        current.table.add(slot, id, content);
        size++;
        current.newestEvent = Math.max(current.newestEvent, event);
        if (current.waits == current.waiting.length) {
            current.waiting = Arrays.copyOf(current.waiting, 2 * current.waits);
        }
        current.waiting[current.waits] = id;
        current.waiting[current.waits + 1] = content;
        current.waiting[current.waits + 2] = keyGroup((int) id);
        current.waits += ENTRY;
        return Found.NEW;
    }

    private int keyGroup(int key) {
        return KeyGroupRangeAssignment.assignToKeyGroup(key, maxParallelism);
    }

    /** Does something in each key group of this task, made the current one of the state. */
    interface Groups {
        void each(GroupAction action) throws Exception;
    }

    /** What to do in each key group. */
    interface GroupAction {
        void in(int group) throws Exception;
    }

    /** Puts what is new into the state, and forgets what is over. */
    void checkpoint(long checkpoint, long watermark, MapState<byte[], byte[]> state, Groups groups)
            throws Exception {
        for (Map.Entry<Long, Generation> entry : generations.entrySet()) {
            Generation generation = entry.getValue();
            if (generation.waits > 0) {
                byte[][] blocks = blocks(generation);
                byte[] name = name(entry.getKey(), checkpoint);
                groups.each(group -> {
                    if (blocks[group] != null) {
                        state.put(name, blocks[group]);
                    }
                });
                generation.blocks.add(checkpoint);
                generation.waits = 0;
            }
        }
        forget(watermark, state, groups);
    }

    private byte[][] blocks(Generation generation) {
        int[] counts = new int[maxParallelism];
        for (int i = 2; i < generation.waits; i += ENTRY) {
            counts[(int) generation.waiting[i]]++;
        }
        ByteBuffer[] buffers = new ByteBuffer[maxParallelism];
        byte[][] blocks = new byte[maxParallelism][];
        for (int group = 0; group < maxParallelism; group++) {
            if (counts[group] > 0) {
                blocks[group] = new byte[Long.BYTES * (1 + 2 * counts[group])];
                buffers[group] = ByteBuffer.wrap(blocks[group]).putLong(generation.newestEvent);
            }
        }
        for (int i = 0; i < generation.waits; i += ENTRY) {
            buffers[(int) generation.waiting[i + 2]]
                    .putLong(generation.waiting[i])
                    .putLong(generation.waiting[i + 1]);
        }
        return blocks;
    }

    /**
     * Forgets the oldest generations: those past their time, and under pressure others, but none
     * whose events the watermark has not passed. A later copy of these is late, and settled there.
     */
    private void forget(long watermark, MapState<byte[], byte[]> state, Groups groups) throws Exception {
        Iterator<Map.Entry<Long, Generation>> oldest = generations.entrySet().iterator();
        while (oldest.hasNext()) {
            Map.Entry<Long, Generation> entry = oldest.next();
            Generation generation = entry.getValue();
            boolean over = (entry.getKey() + 1) * span + rememberMillis <= newestArrival;
            if (generation == current || generation.newestEvent > watermark || !over && size <= mostIds) {
                return;
            }
            groups.each(group -> {
                for (long block : generation.blocks) {
                    state.remove(name(entry.getKey(), block));
                }
            });
            size -= generation.table.size();
            oldest.remove();
        }
    }

    /** Takes up what the state has, in the key groups that are this task's now. */
    void restore(MapState<byte[], byte[]> state, Groups groups) throws Exception {
        groups.each(group -> {
            for (Map.Entry<byte[], byte[]> block : state.entries()) {
                ByteBuffer name = ByteBuffer.wrap(block.getKey());
                long number = name.getLong();
                long checkpoint = name.getLong();
                Generation generation = generations.computeIfAbsent(number, n -> new Generation());
                generation.blocks.add(checkpoint);
                ByteBuffer content = ByteBuffer.wrap(block.getValue());
                generation.newestEvent = Math.max(generation.newestEvent, content.getLong());
                while (content.hasRemaining()) {
                    long id = content.getLong();
                    generation.table.add(generation.table.find(id), id, content.getLong());
                    size++;
                }
                newestArrival = Math.max(newestArrival, number * span);
            }
        });
    }

    private static byte[] name(long generation, long checkpoint) {
        return ByteBuffer.allocate(2 * Long.BYTES).putLong(generation).putLong(checkpoint).array();
    }
}
