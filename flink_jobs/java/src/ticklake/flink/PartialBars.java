package ticklake.flink;

import java.util.HashMap;
import java.util.Map;
import org.apache.flink.streaming.api.operators.AbstractStreamOperator;
import org.apache.flink.streaming.api.operators.BoundedOneInput;
import org.apache.flink.streaming.api.operators.OneInputStreamOperator;
import org.apache.flink.streaming.api.watermark.Watermark;
import org.apache.flink.streaming.runtime.streamrecord.StreamRecord;
import org.apache.flink.table.data.DecimalData;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.data.TimestampData;
import org.apache.flink.table.data.binary.BinaryStringData;

/**
 * Passes ticks on, and adds what they come to by table, provider, pair and window.
 *
 * <p>SQL makes bars of these. Its own local aggregate does the same work, but serializes each tick to keep it until
 * then and makes an object for each decimal: a quarter of the job. Nothing is kept over a checkpoint: what is summed
 * up goes on ahead of each barrier, and ahead of a watermark that closes one of its windows, so a window never misses
 * a part, and state stays SQL's.
 */
final class PartialBars extends AbstractStreamOperator<RowData>
        implements OneInputStreamOperator<RowData, RowData>, BoundedOneInput {

    private static final long serialVersionUID = 1L;
    static final String TABLE = "partial_bars";
    private static final int MOST = 4096; // old ticks, each in a window of its own

    private record Key(StringData table, StringData provider, StringData pair, long windowEnd) {
        /** By what differs most. */
        @Override
        public int hashCode() {
            return 31 * pair.hashCode() + Long.hashCode(windowEnd);
        }

        private Key copy() {
            return new Key(copy(table), copy(provider), copy(pair), windowEnd);
        }

        private static StringData copy(StringData text) {
            return ((BinaryStringData) text).copy();
        }
    }

    private final EventSpec spec;
    private final int width;
    private final int provider;
    private final int pair;
    private final int price;
    private final int size;
    private final int tradeId;
    private final int sequence;
    private final int mock;

    private transient Map<Key, PartialBar> parts;
    private transient long firstEnd;
    private transient StringData table;
    private transient StreamRecord<RowData> out;

    PartialBars(EventSpec spec) {
        this.spec = spec;
        width = spec.fields.size();
        provider = spec.index("source_provider");
        pair = spec.index("asset_pair");
        price = spec.index("price");
        size = spec.index("size");
        tradeId = spec.index("trade_id");
        sequence = spec.index("venue_sequence");
        mock = spec.index("is_mock");
    }

    @Override
    public void open() throws Exception {
        super.open();
        parts = new HashMap<>();
        firstEnd = Long.MAX_VALUE;
        table = EventSpec.text(TABLE);
        out = new StreamRecord<>(null);
    }

    @Override
    public void processElement(StreamRecord<RowData> record) {
        GenericRowData row = (GenericRowData) record.getValue();
        if (row.getField(width + Columns.ERROR_CODE) == null && row.getField(width + Columns.RECEIPT) == null) {
            add(row);
        }
        output.collect(record);
    }

    private void add(GenericRowData row) {
        long windowEnd = spec.windowEnd(((TimestampData) row.getField(width + Columns.ROWTIME)).getMillisecond());
        Key key =
                new Key(
                        (StringData) row.getField(width + Columns.TABLE),
                        (StringData) row.getField(provider),
                        (StringData) row.getField(pair),
                        windowEnd);
        PartialBar part = parts.get(key);
        if (part == null) {
            if (parts.size() == MOST) {
                passOn();
            }
            part = new PartialBar();
            parts.put(key.copy(), part);
            firstEnd = Math.min(firstEnd, windowEnd);
        }
        long arrival = ((TimestampData) row.getField(width + Columns.INGESTED_AT)).getMillisecond();
        part.see((boolean) row.getField(mock), arrival);
        if (row.getField(price) instanceof DecimalData paid) {
            Place place =
                    Place.of(
                            (long) row.getField(width + Columns.EVENT_US),
                            (Long) row.getField(sequence),
                            (StringData) row.getField(tradeId),
                            (long) row.getField(width + Columns.OFFSET),
                            paid.toUnscaledLong());
            part.trade(place, (DecimalData) row.getField(size));
            if (part.full()) {
                passOn();
            }
        }
    }

    private void passOn() {
        parts.forEach(
                (key, part) -> {
                    GenericRowData row = new GenericRowData(width + Columns.NAMES.size());
                    row.setField(provider, key.provider);
                    row.setField(pair, key.pair);
                    row.setField(mock, part.mock);
                    row.setField(width + Columns.TABLE, table);
                    row.setField(width + Columns.INGESTED_AT, TimestampData.fromEpochMillis(part.newestArrival));
                    row.setField(width + Columns.ROWTIME, TimestampData.fromEpochMillis(key.windowEnd));
                    row.setField(width + Columns.BAR, part.row(key.table));
                    output.collect(out.replace(row));
                });
        parts.clear();
        firstEnd = Long.MAX_VALUE;
    }

    @Override
    public void processWatermark(Watermark mark) throws Exception {
        if (mark.getTimestamp() >= firstEnd) {
            passOn();
        }
        super.processWatermark(mark);
    }

    @Override
    public void prepareSnapshotPreBarrier(long checkpoint) {
        passOn();
    }

    @Override
    public void endInput() {
        passOn();
    }
}
