package ticklake.flink;

import java.math.BigDecimal;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import org.apache.flink.table.data.DecimalData;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.StringData;

/** What some ticks of one pair and one window come to; the row `_bar` of flink_jobs/ddl.py. */
final class PartialBar {

    private static final int PRECISION = 18;
    private static final int SCALE = 8;
    private static final int WIDEST = 38;

    private Place first;
    private Place last;
    private long high = Long.MIN_VALUE;
    private long low = Long.MAX_VALUE;
    private final Sum volume = new Sum();
    private final Sum notional = new Sum();
    private boolean sized;
    private long trades;
    private long ticks;
    boolean mock;
    long newestArrival; // milliseconds

    /** Counts a tick of any kind; {@code arrival} is its append time, milliseconds. */
    void see(boolean isMock, long arrival) {
        ticks++;
        mock |= isMock;
        newestArrival = Math.max(newestArrival, arrival);
    }

    /** Adds a counted tick's price, and its size if it has one. */
    void trade(Place place, DecimalData size) {
        trades++;
        high = Math.max(high, place.price());
        low = Math.min(low, place.price());
        first = first == null || place.compareTo(first) < 0 ? place : first;
        last = last == null || place.compareTo(last) > 0 ? place : last;
        if (size != null) {
            sized = true;
            volume.add(size.toUnscaledLong());
            notional.addProduct(place.price(), size.toUnscaledLong());
        }
    }

    /** Whether the sums should go on before more is added to them. */
    boolean full() {
        return notional.nearlyFull();
    }

    GenericRowData row(StringData table) {
        boolean traded = trades > 0;
        return GenericRowData.of(
                table,
                traded ? first.text() : null,
                traded ? last.text() : null,
                traded ? DecimalData.fromUnscaledLong(high, PRECISION, SCALE) : null,
                traded ? DecimalData.fromUnscaledLong(low, PRECISION, SCALE) : null,
                sized ? volume.decimal(SCALE) : null,
                sized ? notional.decimal(2 * SCALE) : null,
                trades,
                ticks);
    }

    /** 128 bits, so that no number that is added costs an object. */
    private static final class Sum {
        // one more product of two 18-digit numbers fits behind it, and so do 38 digits before it
        private static final long NEARLY_FULL = 1L << 61;

        private long upper;
        private long lower;

        void add(long value) {
            add(value >> Long.SIZE - 1, value);
        }

        void addProduct(long left, long right) {
            add(Math.multiplyHigh(left, right), left * right);
        }

        private void add(long moreUpper, long moreLower) {
            lower += moreLower;
            upper += moreUpper + (Long.compareUnsigned(lower, moreLower) < 0 ? 1 : 0);
        }

        boolean nearlyFull() {
            return upper >= NEARLY_FULL || upper < -NEARLY_FULL;
        }

        DecimalData decimal(int scale) {
            byte[] bytes = ByteBuffer.allocate(2 * Long.BYTES).putLong(upper).putLong(lower).array();
            return DecimalData.fromBigDecimal(new BigDecimal(new BigInteger(bytes), scale), WIDEST, scale);
        }
    }
}
