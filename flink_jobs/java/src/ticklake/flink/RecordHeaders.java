package ticklake.flink;

import java.io.IOException;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;
import org.apache.flink.kafka.shaded.org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.flink.kafka.shaded.org.apache.kafka.common.header.Header;
import org.apache.flink.kafka.shaded.org.apache.kafka.common.header.Headers;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonGenerator;
import org.apache.flink.table.data.GenericMapData;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.StringData;

/** A record's headers: the two names that mean something (connectors/headers.py), and all of them for the lake. */
final class RecordHeaders {

    private static final String ATTEMPT = "ticklake-attempt";
    private static final String VERSION = "schema-version";
    private static final int DIGITS = 9;
    private static final GenericMapData NONE = new GenericMapData(Map.of());

    private RecordHeaders() {}

    /** Puts them into a row: as a map, as text that keeps order and repeats, and the attempts. */
    static void fill(GenericRowData row, int width, ConsumerRecord<byte[], byte[]> record) {
        Headers headers = record.headers();
        if (!headers.iterator().hasNext()) {
            row.setField(width + Columns.HEADERS, NONE);
            row.setField(width + Columns.ATTEMPTS, 0L);
            return;
        }
        Map<StringData, byte[]> found = new HashMap<>();
        StringWriter text = new StringWriter();
        try (JsonGenerator json = RecordParser.JSON.createGenerator(text)) {
            json.writeStartArray();
            for (Header header : headers) {
                found.put(StringData.fromString(header.key()), header.value());
                json.writeStartArray();
                json.writeString(header.key());
                if (header.value() == null) {
                    json.writeNull();
                } else {
                    json.writeBinary(header.value());
                }
                json.writeEndArray();
            }
            json.writeEndArray();
        } catch (IOException impossible) {
            throw new IllegalStateException(impossible);
        }
        row.setField(width + Columns.HEADERS, new GenericMapData(found));
        row.setField(width + Columns.HEADERS_TEXT, StringData.fromString(text.toString()));
        row.setField(width + Columns.ATTEMPTS, attempts(headers.lastHeader(ATTEMPT)));
    }

    private static long attempts(Header header) {
        byte[] value = header == null || header.value() == null ? new byte[0] : header.value();
        long count = 0;
        for (byte digit : value) {
            if (digit < '0' || digit > '9' || value.length > DIGITS) {
                return 0;
            }
            count = 10 * count + digit - '0';
        }
        return count;
    }

    /** The topic carries the version; a producer that says another one may write another format. */
    static void checkVersion(ConsumerRecord<byte[], byte[]> record, EventSpec spec) throws Rejected {
        Header header = record.headers().lastHeader(VERSION);
        if (header == null) {
            return;
        }
        String found = header.value() == null ? "" : new String(header.value(), StandardCharsets.ISO_8859_1);
        if (!found.equals(spec.version)) {
            throw Rejected.of("unknown_version", VERSION, '"' + found + '"', spec.topic + " takes " + spec.version);
        }
    }
}
