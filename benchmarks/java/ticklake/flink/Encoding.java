package ticklake.flink;

import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.apache.flink.kafka.shaded.org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.flink.kafka.shaded.org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.flink.kafka.shaded.org.apache.kafka.common.record.TimestampType;
import org.apache.flink.table.data.DecimalData;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.data.TimestampData;
import org.apache.flink.util.Collector;
import org.apache.iceberg.shaded.org.apache.avro.io.BinaryDecoder;
import org.apache.iceberg.shaded.org.apache.avro.io.BinaryEncoder;
import org.apache.iceberg.shaded.org.apache.avro.io.DecoderFactory;
import org.apache.iceberg.shaded.org.apache.avro.io.EncoderFactory;

/** JSON as the job parses it, and Avro's binary form of the same rows without any check. */
public final class Encoding {

    private static final int ROUNDS = 12;
    private static final int WARM = 6;
    private static final long ARRIVAL = 4_000_000_000_000L; // behind every event time

    private final EventSpec spec;
    private final RecordParser parser;
    private final int width;
    private GenericRowData newest;
    private BinaryDecoder decoder;

    private Encoding(String json) {
        spec = EventSpec.parse(json);
        parser = new RecordParser(null, spec, 0);
        parser.open(null);
        width = spec.fields.size();
    }

    /** Argument: the spec as JSON. Records come by line; the answer is one line of figures for each encoding. */
    public static void main(String[] arguments) throws Exception {
        List<byte[]> json = new ArrayList<>();
        try (BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8))) {
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                json.add(line.getBytes(StandardCharsets.UTF_8));
            }
        }
        Encoding encoding = new Encoding(arguments[0]);
        List<byte[]> avro = new ArrayList<>();
        for (byte[] value : json) {
            avro.add(encoding.write(encoding.parse(value)));
        }
        long[] used = new long[2];
        for (int round = 0; round < ROUNDS; round++) {
            long began = now();
            for (byte[] value : json) {
                encoding.parse(value);
            }
            long between = now();
            for (byte[] value : avro) {
                encoding.read(value);
            }
            if (round >= WARM) {
                used[0] += between - began;
                used[1] += now() - between;
            }
        }
        report("json", used[0], json);
        report("avro", used[1], avro);
    }

    private static long now() {
        return ManagementFactory.getThreadMXBean().getCurrentThreadCpuTime();
    }

    private static void report(String name, long nanos, List<byte[]> records) {
        long bytes = records.stream().mapToLong(record -> record.length).sum();
        System.out.println(name + " " + nanos / ((ROUNDS - WARM) * (long) records.size()) + " " + bytes / records.size());
    }

    private GenericRowData parse(byte[] value) {
        ConsumerRecord<byte[], byte[]> record =
                new ConsumerRecord<>(
                        spec.topic, 0, 0, ARRIVAL, TimestampType.LOG_APPEND_TIME, 0, value.length, null, value,
                        new RecordHeaders(), Optional.empty());
        parser.deserialize(record, new Collector<RowData>() {
            @Override
            public void collect(RowData row) {
                newest = (GenericRowData) row;
            }

            @Override
            public void close() {}
        });
        if (newest.getField(width + Columns.ERROR_CODE) != null) {
            throw new IllegalStateException("refused: " + newest.getField(width + Columns.ERROR_MESSAGE));
        }
        return newest;
    }

    /** Each field: whether it is there, and its value; decimals unscaled, times in microseconds. */
    private byte[] write(GenericRowData row) throws IOException {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        BinaryEncoder out = EncoderFactory.get().binaryEncoder(bytes, null);
        for (int i = 0; i < width; i++) {
            Object value = row.getField(i);
            out.writeIndex(value == null ? 0 : 1);
            if (value instanceof StringData text) {
                out.writeBytes(text.toBytes());
            } else if (value instanceof DecimalData decimal) {
                out.writeLong(decimal.toUnscaledLong());
            } else if (value instanceof TimestampData time) {
                out.writeLong(time.getMillisecond() * 1000 + time.getNanoOfMillisecond() / 1000);
            } else if (value instanceof Boolean flag) {
                out.writeBoolean(flag);
            } else if (value instanceof Long number) {
                out.writeLong(number);
            }
        }
        out.flush();
        return bytes.toByteArray();
    }

    private GenericRowData read(byte[] value) throws IOException {
        decoder = DecoderFactory.get().binaryDecoder(value, decoder);
        GenericRowData row = new GenericRowData(width + Columns.NAMES.size());
        for (int i = 0; i < width; i++) {
            if (decoder.readIndex() == 1) {
                row.setField(i, read(spec.fields.get(i)));
            }
        }
        TimestampData time = (TimestampData) row.getField(spec.time);
        row.setField(width + Columns.EVENT_US, time.getMillisecond() * 1000 + time.getNanoOfMillisecond() / 1000);
        row.setField(width + Columns.ROWTIME, time);
        row.setField(width + Columns.ID_HASH, Hashes.id((StringData) row.getField(spec.id)));
        row.setField(width + Columns.CONTENT_HASH, Hashes.content(row, spec));
        row.setField(width + Columns.TABLE, spec.kindOf(row).table);
        row.setField(width + Columns.PAYLOAD, value);
        row.setField(width + Columns.PARTITION, 0);
        row.setField(width + Columns.OFFSET, 0L);
        row.setField(width + Columns.INGESTED_AT, TimestampData.fromEpochMillis(ARRIVAL));
        newest = row;
        return row;
    }

    private Object read(Field field) throws IOException {
        if (field instanceof TextField) {
            ByteBuffer bytes = decoder.readBytes(null);
            return StringData.fromBytes(bytes.array(), 0, bytes.limit());
        }
        if (field instanceof DecimalField) {
            return DecimalData.fromUnscaledLong(decoder.readLong(), 18, 8);
        }
        if (field instanceof TimeField) {
            long micros = decoder.readLong();
            return TimestampData.fromEpochMillis(micros / 1000, (int) (micros % 1000) * 1000);
        }
        return "is_mock".equals(field.name) ? (Object) decoder.readBoolean() : (Object) decoder.readLong();
    }
}
