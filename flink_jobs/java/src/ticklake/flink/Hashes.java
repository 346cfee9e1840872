package ticklake.flink;

import java.nio.charset.StandardCharsets;
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

    static long name(String name) {
        return FINGERPRINT.hashString(name, StandardCharsets.UTF_8).asLong();
    }

    /**
     * Of the columns in which two sendings of one event may not differ. A column that is NULL or has
     * its default adds nothing, so a column that is added later changes no hash that is remembered.
     */
    static long content(GenericRowData row, EventSpec spec) {
        long hash = 0;
        for (int column : spec.content) {
            Object value = row.getField(column);
            Field field = spec.fields.get(column);
            if (value != null && (field.fallback == null || !value.equals(field.fallback))) {
                long bits = value == field.newest ? field.newestHash : bits(value);
                long mixed = (bits ^ spec.nameHashes[column]) * GOLDEN;
                hash += mixed ^ mixed >>> 32;
            }
        }
        return hash;
    }

    private static long bits(Object value) {
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
