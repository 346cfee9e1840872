package ticklake.flink;

import java.util.Arrays;
import org.apache.flink.table.data.StringData;

/**
 * A trade's place in the order of its pair: by event time, then the venue's order, then the price.
 *
 * <p>The venue's order is its sequence, else its trade id where that is a number, else the offset.
 *
 * @param micros event time, microseconds since 1970
 * @param order the venue's order
 * @param price unscaled, 8 decimals
 * @param id the trade id in UTF-8; empty where there is none
 */
record Place(long micros, long order, long price, byte[] id) implements Comparable<Place> {

    private static final int TIME = 16;
    private static final int ORDER = 19;
    private static final int WHOLE = 11;
    private static final int DECIMALS = 8;
    private static final int PRICE = WHOLE + 1 + DECIMALS;
    private static final long UNIT = 100_000_000;
    private static final byte[] NO_ID = new byte[0];

    static Place of(long micros, Long sequence, StringData tradeId, long offset, long price) {
        byte[] id = tradeId == null ? NO_ID : tradeId.toBytes();
        return new Place(micros, sequence == null ? order(id, offset) : sequence, price, id);
    }

    private static long order(byte[] id, long offset) {
        if (id.length == 0 || id.length > ORDER) {
            return offset;
        }
        long number = 0;
        for (byte b : id) {
            if (b < '0' || b > '9') {
                return offset;
            }
            number = 10 * number + b - '0';
        }
        return number < 0 ? offset : number; // 19 digits, more than a long holds
    }

    @Override
    public int compareTo(Place other) {
        int byTime = Long.compare(micros, other.micros);
        if (byTime != 0) {
            return byTime;
        }
        int byOrder = Long.compare(order, other.order);
        if (byOrder != 0) {
            return byOrder;
        }
        int byPrice = Long.compare(price, other.price);
        return byPrice != 0 ? byPrice : Arrays.compareUnsigned(id, other.id);
    }

    /**
     * A text that sorts as the place does, so that MIN and MAX of it are first and last: 16 digits of time, 19 of
     * order, the price with 11 digits before its point and 8 behind it, then the id.
     */
    StringData text() {
        byte[] text = new byte[TIME + ORDER + PRICE + id.length];
        digits(micros, text, 0, TIME);
        digits(order, text, TIME, ORDER);
        digits(price / UNIT, text, TIME + ORDER, WHOLE);
        text[TIME + ORDER + WHOLE] = '.';
        digits(price % UNIT, text, TIME + ORDER + WHOLE + 1, DECIMALS);
        System.arraycopy(id, 0, text, TIME + ORDER + PRICE, id.length);
        return StringData.fromBytes(text);
    }

    private static void digits(long value, byte[] into, int at, int width) {
        for (int i = at + width - 1; i >= at; i--) {
            into[i] = (byte) ('0' + value % 10);
            value /= 10;
        }
    }
}
