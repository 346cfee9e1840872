package ticklake.flink;

import java.io.IOException;
import org.apache.flink.api.common.serialization.DeserializationSchema;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.metrics.Counter;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonFactory;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonParser;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonToken;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.data.TimestampData;

/**
 * Bytes to a row: the event's columns and its time in microseconds; or NULLs with error code and
 * message. The unchanged bytes stand in the last column of both.
 */
final class EventDeserializer implements DeserializationSchema<RowData> {

    private static final long serialVersionUID = 1L;

    // Jackson's own limits (nesting 1,000, number length 1,000) make hostile input a plain error.
    static final JsonFactory JSON = new JsonFactory();

    private final TypeInformation<RowData> type;
    private final EventSpec spec;
    private transient Counter rejected;

    EventDeserializer(TypeInformation<RowData> type, EventSpec spec) {
        this.type = type;
        this.spec = spec;
    }

    @Override
    public void open(InitializationContext context) {
        rejected = context.getMetricGroup().counter("rejectedRecords");
    }

    @Override
    public RowData deserialize(byte[] message) {
        int width = spec.fields.size();
        GenericRowData row = new GenericRowData(width + 4);
        try {
            parse(message, row);
            complete(row);
            row.setField(width, micros((TimestampData) row.getField(spec.time)));
            row.setField(width + 3, message);
            return row;
        } catch (Rejected reason) {
            return dead(message, reason.code, reason.getMessage());
        } catch (IOException notJson) {
            return dead(message, "not_json", firstLine(notJson.getMessage()));
        }
    }

    private RowData dead(byte[] message, String code, String reason) {
        if (rejected != null) {
            rejected.inc();
        }
        int width = spec.fields.size();
        GenericRowData row = new GenericRowData(width + 4);
        row.setField(width + 1, StringData.fromString(code));
        row.setField(width + 2, StringData.fromString(reason));
        row.setField(width + 3, message);
        return row;
    }

    private static long micros(TimestampData time) {
        return time.getMillisecond() * 1000 + time.getNanoOfMillisecond() / 1000;
    }

    private void parse(byte[] message, GenericRowData row) throws IOException, Rejected {
        if (message == null || message.length == 0) {
            throw new Rejected("empty", "the record has no value; a JSON object is needed");
        }
        if (message.length > spec.maxBytes) {
            throw Rejected.of(
                    "oversized", "the record", "of " + message.length + " bytes",
                    "at most " + spec.maxBytes + " are allowed");
        }
        long seen = 0;
        try (JsonParser parser = JSON.createParser(message)) {
            if (parser.nextToken() != JsonToken.START_OBJECT) {
                throw new Rejected("not_json", "a JSON object is needed");
            }
            for (String name = parser.nextFieldName(); name != null; name = parser.nextFieldName()) {
                Integer at = spec.index.get(name);
                if (at == null) {
                    throw Rejected.of(
                            "unknown_field", "a field", '"' + name + '"', "allowed are " + spec.index.keySet());
                }
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
    }

    private void complete(GenericRowData row) throws Rejected {
        int width = spec.fields.size();
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
        if (spec.select >= 0) {
            checkKind(row, row.getField(spec.select).toString());
        }
        for (EventSpec.Rule rule : spec.rules) {
            checkRule(row, rule);
        }
    }

    private void checkKind(GenericRowData row, String value) throws Rejected {
        String select = spec.fields.get(spec.select).name;
        EventSpec.Kind kind = spec.kinds.get(value);
        for (int i : kind.required) {
            if (row.isNullAt(i)) {
                throw new Rejected(
                        "missing_field",
                        spec.fields.get(i).name + " is missing; it is required where " + select + " is " + value);
            }
        }
        for (int i = 0; i < kind.known.length; i++) {
            if (!kind.known[i] && !row.isNullAt(i)) {
                throw new Rejected(
                        "unknown_field",
                        spec.fields.get(i).name + " does not belong to " + select + " " + value);
            }
        }
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

    private static String firstLine(String text) {
        return text.lines().findFirst().orElse("no JSON");
    }

    @Override
    public boolean isEndOfStream(RowData row) {
        return false;
    }

    @Override
    public TypeInformation<RowData> getProducedType() {
        return type;
    }
}
