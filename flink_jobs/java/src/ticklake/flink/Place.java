package ticklake.flink;

import java.nio.charset.StandardCharsets;
import org.apache.flink.table.annotation.DataTypeHint;
import org.apache.flink.table.data.DecimalData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.functions.ScalarFunction;

/**
 * A trade's place in the order of its pair, as text: MIN and MAX of it are first and last.
 *
 * <p>16 digits of event time (microseconds), 19 of the venue's order, 19 of the price (unscaled, 8
 * decimals), then the trade id. The venue's order is its sequence, else its trade id where that is
 * a number, else the offset. SQL could build the same text with LPAD and CAST, string by string.
 */
public final class Place extends ScalarFunction {

    private static final long serialVersionUID = 1L;
    private static final int TIME = 16;
    private static final int ORDER = 19;
    private static final int PRICE = 19;
    private static final byte[] NO_ID = new byte[0];

    /** NULL where there is no price: a heartbeat has no place. */
    public @DataTypeHint(value = "STRING", bridgedTo = StringData.class) StringData eval(
            @DataTypeHint("BIGINT") Long micros,
            @DataTypeHint("BIGINT") Long sequence,
            @DataTypeHint(value = "STRING", bridgedTo = StringData.class) StringData tradeId,
            @DataTypeHint("BIGINT") Long offset,
            @DataTypeHint(value = "DECIMAL(18, 8)", bridgedTo = DecimalData.class) DecimalData price) {
        if (price == null) {
            return null;
        }
        byte[] id = tradeId == null ? NO_ID : tradeId.toBytes();
        byte[] text = new byte[TIME + ORDER + PRICE + id.length];
        digits(micros, text, 0, TIME);
        digits(order(sequence, id, offset), text, TIME, ORDER);
        digits(price.toUnscaledLong(), text, TIME + ORDER, PRICE);
        System.arraycopy(id, 0, text, TIME + ORDER + PRICE, id.length);
        return StringData.fromBytes(text);
    }

    private static long order(Long sequence, byte[] id, Long offset) {
        if (sequence != null) {
            return sequence;
        }
        if (id.length == 0 || id.length > ORDER) {
            return offset;
        }
        for (byte b : id) {
            if (b < '0' || b > '9') {
                return offset;
            }
        }
        try {
            return Long.parseLong(new String(id, StandardCharsets.US_ASCII));
        } catch (NumberFormatException tooLarge) {
            return offset;
        }
    }

    private static void digits(long value, byte[] into, int at, int width) {
        for (int i = at + width - 1; i >= at; i--) {
            into[i] = (byte) ('0' + value % 10);
            value /= 10;
        }
    }
}
