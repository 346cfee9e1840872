package ticklake.flink;

import org.apache.flink.shaded.guava33.com.google.common.hash.HashFunction;
import org.apache.flink.shaded.guava33.com.google.common.hash.Hashing;
import org.apache.flink.table.data.DecimalData;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.data.TimestampData;

/** 64 bits of an event's id, and 64 of its content. They stand in state: never change them. */
final class Hashes {

    // "a stable fingerprint": Guava promises the same value for good
    private static final HashFunction FINGERPRINT = Hashing.farmHashFingerprint64();
    private static final long GOLDEN = 0x9E3779B97F4A7C15L;

    private Hashes() {}

    static long id(StringData text) {
        return FINGERPRINT.hashBytes(text.toBytes()).asLong();
    }

    /** Of the columns in which two sendings of one event may not differ. */
    static long content(GenericRowData row, int[] columns) {
        long hash = columns.length;
        for (int column : columns) {
            hash = (hash ^ bits(row.getField(column))) * GOLDEN;
            hash ^= hash >>> 32;
        }
        return hash;
    }

    private static long bits(Object value) {
        if (value == null) {
            return 0;
        }
        if (value instanceof Long number) {
            return number;
        }
        if (value instanceof TimestampData time) {
            return time.getMillisecond() * 1_000_000 + time.getNanoOfMillisecond();
        }
        if (value instanceof DecimalData decimal && decimal.isCompact()) {
            return decimal.toUnscaledLong();
        }
        return value.hashCode();
    }
}
