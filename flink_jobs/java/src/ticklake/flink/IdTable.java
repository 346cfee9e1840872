package ticklake.flink;

/**
 * Ids and contents, 64 bits each, in one array: open addressing, at most 60 percent full.
 *
 * <p>16 bytes an entry, no object, no serialization, one cache line a look. Two ids that share 64
 * bits are told apart by their content in all but one of 2^64 cases; and then the second becomes a
 * dead letter, it is not lost.
 */
final class IdTable {

    private static final int SMALLEST = 1 << 10;
    private static final long FREE = 0; // an id of zero is kept as 1

    private long[] slots = new long[2 * SMALLEST];
    private int size;

    int size() {
        return size;
    }

    /** The slot of an id; the complement of the slot to put it in, if it is not there. */
    int find(long given) {
        long id = given == FREE ? 1 : given;
        int mask = slots.length - 2;
        int at = (int) (id >>> 16) << 1 & mask;
        while (slots[at] != FREE) {
            if (slots[at] == id) {
                return at;
            }
            at = at + 2 & mask;
        }
        return ~at;
    }

    long content(int slot) {
        return slots[slot + 1];
    }

    /** Adds an id that {@link #find} did not find; {@code slot} is what it answered. */
    void add(int slot, long given, long content) {
        int at = ~slot;
        slots[at] = given == FREE ? 1 : given;
        slots[at + 1] = content;
        size++;
        if (10L * size > 6L * (slots.length / 2)) {
            grow();
        }
    }

    private void grow() {
        long[] old = slots;
        slots = new long[Math.multiplyExact(old.length, 2)];
        for (int i = 0; i < old.length; i += 2) {
            if (old[i] != FREE) {
                int at = ~find(old[i]);
                slots[at] = old[i];
                slots[at + 1] = old[i + 1];
            }
        }
    }
}
