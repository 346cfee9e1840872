package ticklake.flink;

import java.io.IOException;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.regex.Pattern;
import org.apache.flink.api.common.serialization.DeserializationSchema;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.connector.kafka.source.reader.deserializer.KafkaRecordDeserializationSchema;
import org.apache.flink.kafka.shaded.org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonFactory;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonLocation;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonParser;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonProcessingException;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonToken;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.exc.StreamConstraintsException;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.util.BufferRecycler;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.util.RecyclerPool;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.data.TimestampData;
import org.apache.flink.util.Collector;

/**
 * A record to a row: the event's columns and its time; or NULLs with error code and message. The
 * row time of a record that is bad, or too far ahead of the broker's append time, is 1970: such a
 * record must not move the watermark.
 */
final class RecordParser implements KafkaRecordDeserializationSchema<RowData> {

    private static final long serialVersionUID = 1L;
    private static final String TOO_MUCH = " is nested deeper, or has a longer number or name, than is read";
    private static final Pattern SOURCE = Pattern.compile("\\[Source: [^;]*; line: ([0-9]+)[^\\]]*\\]");
    private static final VarHandle EIGHT =
            MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.nativeOrder());
    private static final long NEGATIVE = 0x8080808080808080L;
    private static final TimestampData NEVER = TimestampData.fromEpochMillis(0);

    /** For writing JSON. */
    static final JsonFactory JSON = new JsonFactory();

    private final TypeInformation<RowData> type;
    private final EventSpec spec;
    private final long toleranceMillis;
    private final int width;
    // Jackson's own limits (nesting 1,000, number length 1,000) make hostile input a plain error.
    private transient JsonFactory json;
    // what came behind each field last, and before the first; the names as Jackson gave them
    private transient int[] follows;
    private transient String[] names;

    RecordParser(TypeInformation<RowData> type, EventSpec spec, long toleranceMillis) {
        this.type = type;
        this.spec = spec;
        this.toleranceMillis = toleranceMillis;
        this.width = spec.fields.size();
    }

    @Override
    public void open(DeserializationSchema.InitializationContext context) {
        json = JsonFactory.builder().recyclerPool(new KeptBuffers()).build();
        follows = new int[width + 1];
        names = new String[width];
    }

    @Override
    public void deserialize(ConsumerRecord<byte[], byte[]> record, Collector<RowData> out) {
        GenericRowData row = empty();
        try {
            checkBytes(record);
            parse(record.value(), row);
            complete(row);
            good(record, row);
        } catch (Rejected reason) {
            row = dead(record, reason.code, reason.getMessage());
        } catch (JsonProcessingException notJson) {
            row = dead(record, "not_json", at(notJson));
        } catch (IOException notJson) {
            row = dead(record, "not_json", "the text ends or breaks off where UTF-8 or JSON goes on");
        }
        row.setField(width + Columns.KEY, record.key());
        row.setField(width + Columns.PAYLOAD, record.value());
        RecordHeaders.fill(row, width, record);
        row.setField(width + Columns.PARTITION, record.partition());
        row.setField(width + Columns.OFFSET, record.offset());
        row.setField(width + Columns.INGESTED_AT, TimestampData.fromEpochMillis(record.timestamp()));
        out.collect(row);
    }

    private GenericRowData empty() {
        return new GenericRowData(width + Columns.NAMES.size());
    }

    private void good(ConsumerRecord<byte[], byte[]> record, GenericRowData row) throws Rejected {
        TimestampData time = (TimestampData) row.getField(spec.time);
        long ahead = time.getMillisecond() - record.timestamp();
        if (ahead > toleranceMillis) {
            throw Rejected.of(
                    "future_timestamp", spec.fields.get(spec.time).name, time + "Z",
                    "it is ahead of the broker's append time by " + ahead / 1000.0 + " s; "
                            + toleranceMillis / 1000.0
                            + " s are allowed: check the clock and the unit of the producer");
        }
        row.setField(width + Columns.EVENT_US, time.getMillisecond() * 1000 + time.getNanoOfMillisecond() / 1000);
        row.setField(width + Columns.ROWTIME, time);
        row.setField(width + Columns.ID_HASH, Hashes.id((StringData) row.getField(spec.id)));
        row.setField(width + Columns.CONTENT_HASH, Hashes.content(row, spec));
    }

    private GenericRowData dead(ConsumerRecord<byte[], byte[]> record, String code, String reason) {
        GenericRowData row = empty();
        row.setField(width + Columns.ERROR_CODE, StringData.fromString(code));
        row.setField(width + Columns.ERROR_MESSAGE, StringData.fromString(reason));
        row.setField(width + Columns.ROWTIME, NEVER);
        row.setField(width + Columns.ID_HASH, record.offset());
        return row;
    }

    /** What can be said without a parse. */
    private void checkBytes(ConsumerRecord<byte[], byte[]> record) throws Rejected {
        byte[] message = record.value();
        if (message == null || message.length == 0) {
            throw new Rejected("empty", "the record has no value; a JSON object is needed");
        }
        if (message.length > spec.maxBytes) {
            throw Rejected.of(
                    "oversized", "the record", "of " + message.length + " bytes",
                    "at most " + spec.maxBytes + " are allowed");
        }
        RecordHeaders.checkVersion(record, spec);
        // Jackson guesses UTF-16 and UTF-32, and mends bad UTF-8 without a word.
        if (message.length > 1 && (message[0] == 0 || message[1] == 0) || !isAscii(message) && !isUtf8(message)) {
            throw new Rejected("not_json", "the bytes are no UTF-8; a JSON object in UTF-8 is needed");
        }
    }

    /** Eight bytes a step: byte by byte it was a seventh of the parse. */
    private static boolean isAscii(byte[] message) {
        long all = 0;
        int at = 0;
        for (; at <= message.length - Long.BYTES; at += Long.BYTES) {
            all |= (long) EIGHT.get(message, at);
        }
        for (; at < message.length; at++) {
            all |= message[at]; // a negative one sets every higher bit
        }
        return (all & NEGATIVE) == 0;
    }

    private static boolean isUtf8(byte[] message) {
        try {
            StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(message));
            return true;
        } catch (CharacterCodingException broken) {
            return false;
        }
    }

    private void parse(byte[] message, GenericRowData row) throws IOException, Rejected {
        try (JsonParser parser = json.createParser(message)) {
            try {
                parse(parser, row);
            } catch (StreamConstraintsException tooMuch) {
                String name = parser.currentName();
                throw new Rejected("out_of_range", (name == null ? "the record" : name) + TOO_MUCH);
            }
        }
    }

    private void parse(JsonParser parser, GenericRowData row) throws IOException, Rejected {
        if (parser.nextToken() != JsonToken.START_OBJECT) {
            throw new Rejected("not_json", "a JSON object is needed");
        }
        long seen = 0;
        int before = width;
        for (String name = parser.nextFieldName(); name != null; name = parser.nextFieldName()) {
            int at = index(name, before);
            before = at;
            if ((seen & 1L << at) != 0) {
                throw new Rejected("duplicate_field", name + " stands twice in the object");
            }
            seen |= 1L << at;
            if (parser.nextToken() != JsonToken.VALUE_NULL) {
                row.setField(at, spec.fields.get(at).read(parser));
            }
        }
        if (parser.currentToken() != JsonToken.END_OBJECT || parser.nextToken() != null) {
            throw new Rejected("not_json", "text stands behind the JSON object");
        }
    }

    /** Producers keep to one order of fields, and Jackson gives one string for one name. */
    private int index(String name, int before) throws Rejected {
        int guess = follows[before];
        if (names[guess] == name) {
            return guess;
        }
        Integer at = spec.index.get(name);
        if (at == null) {
            throw Rejected.of(
                    "unknown_field", "a field", '"' + name + '"', "allowed are " + spec.index.keySet());
        }
        follows[before] = at;
        names[at] = name;
        return at;
    }

    private void complete(GenericRowData row) throws Rejected {
        for (int i = 0; i < width; i++) {
            if (row.isNullAt(i)) {
                Field field = spec.fields.get(i);
                if (field.fallback != null) {
                    row.setField(i, field.fallback);
                } else if (field.required) {
                    throw new Rejected("missing_field", field.name + " is missing; it is required");
                }
            }
        }
        checkKind(row, spec.kindOf(row));
        for (EventSpec.Rule rule : spec.rules) {
            checkRule(row, rule);
        }
    }

    private void checkKind(GenericRowData row, EventSpec.Kind kind) throws Rejected {
        for (int i : kind.required) {
            if (row.isNullAt(i)) {
                throw new Rejected(
                        "missing_field", spec.fields.get(i).name + " is missing; it is required where " + selected(row));
            }
        }
        for (int i : kind.unknown) {
            if (!row.isNullAt(i)) {
                throw new Rejected("unknown_field", spec.fields.get(i).name + " does not belong to " + selected(row));
            }
        }
        row.setField(width + Columns.TABLE, kind.table);
    }

    private String selected(GenericRowData row) {
        return spec.fields.get(spec.select).name + " is " + row.getField(spec.select);
    }

    @SuppressWarnings("unchecked")
    private void checkRule(GenericRowData row, EventSpec.Rule rule) throws Rejected {
        Object left = row.getField(rule.left());
        Object right = row.getField(rule.right());
        if (left == null || right == null) {
            return;
        }
        int order = ((Comparable<Object>) left).compareTo(right);
        if (rule.atLeast() ? order < 0 : order > 0) {
            throw new Rejected(
                    "rule_broken",
                    spec.fields.get(rule.left()).name + " is " + left + "; it must be "
                            + (rule.atLeast() ? ">= " : "<= ")
                            + spec.fields.get(rule.right()).name + ", which is " + right);
        }
    }

    /** One thread parses: its buffers need no look for the thread, which was a thirtieth of the job. */
    private static final class KeptBuffers extends RecyclerPool.ThreadLocalPoolBase<BufferRecycler> {

        private static final long serialVersionUID = 1L;
        private final transient BufferRecycler kept = new BufferRecycler();

        @Override
        public BufferRecycler acquirePooled() {
            return kept;
        }
    }

    private static String at(JsonProcessingException error) {
        JsonLocation place = error.getLocation();
        String where = place == null ? "" : "line " + place.getLineNr() + " column " + place.getColumnNr() + ": ";
        String what = error.getOriginalMessage().lines().findFirst().orElse("no JSON");
        return where + SOURCE.matcher(what).replaceAll("line $1");
    }

    @Override
    public TypeInformation<RowData> getProducedType() {
        return type;
    }
}
