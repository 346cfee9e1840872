package ticklake.flink;

import java.io.IOException;
import java.io.Serializable;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.JsonNode;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.ObjectMapper;
import org.apache.flink.table.api.ValidationException;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.data.binary.BinaryStringData;

/** The declaration of an event, as the source needs it; it travels to the cluster as its JSON. */
final class EventSpec implements Serializable {

    private static final long serialVersionUID = 1L;

    /** What one value of the selecting column asks of the others, and where its rows go. */
    static final class Kind {
        final StringData table;
        final StringData lateTable; // null: a row of this kind is never late
        final int[] required;
        final int[] unknown;

        Kind(StringData table, StringData lateTable, int[] required, int[] unknown) {
            this.table = table;
            this.lateTable = lateTable;
            this.required = required;
            this.unknown = unknown;
        }
    }

    /** {@code left <= right}, or {@code left >= right} if {@code atLeast}. */
    record Rule(int left, boolean atLeast, int right) {}

    /** What is serialized in place of a spec. */
    private record Text(String json) implements Serializable {
        private Object readResolve() {
            return parse(json);
        }
    }

    private final String json;
    final List<Field> fields = new ArrayList<>();
    final Map<String, Integer> index = new HashMap<>();
    final Map<StringData, Kind> kinds = new HashMap<>();
    final List<Rule> rules = new ArrayList<>();
    final String topic;
    final String version;
    final int id;
    final int time;
    final int[] content;
    final long[] nameHashes;
    final int maxBytes;
    final long windowMillis;
    Kind only; // where there is no selecting column
    int select = -1;
    private StringData newestValue; // most rows are of the kind of the row before
    private Kind newestKind;

    static EventSpec parse(String json) {
        try {
            return new EventSpec(json, new ObjectMapper().readTree(json));
        } catch (IOException error) {
            throw new ValidationException("the option spec is no JSON: " + error.getMessage());
        }
    }

    private EventSpec(String json, JsonNode node) {
        this.json = json;
        maxBytes = node.get("max_bytes").asInt();
        for (JsonNode column : node.get("columns")) {
            index.put(column.get("name").asText(), fields.size());
            fields.add(Field.of(column));
        }
        topic = node.get("topic").asText();
        version = topic.substring(topic.lastIndexOf(".v") + 2);
        id = index.get("event_id");
        time = index.get(node.get("time").asText());
        windowMillis = node.get("window_ms").asLong();
        content = indexes(node.get("content"));
        nameHashes = fields.stream().mapToLong(field -> Hashes.name(field.name)).toArray();
        if (node.hasNonNull("select")) {
            select = index.get(node.get("select").asText());
        }
        for (JsonNode kind : node.get("kinds")) {
            only = kind(kind);
            kinds.put(text(kind.get("value")), only);
        }
        for (JsonNode rule : node.get("rules")) {
            rules.add(
                    new Rule(
                            index.get(rule.get(0).asText()),
                            ">=".equals(rule.get(1).asText()),
                            index.get(rule.get(2).asText())));
        }
    }

    private Kind kind(JsonNode node) {
        return new Kind(
                text(node.get("table")),
                text(node.get("late_table")),
                indexes(node.get("required")),
                indexes(node.get("unknown")));
    }

    /** The last millisecond of the window that an event time is in. */
    long windowEnd(long event) {
        return windowMillis == 0 ? event : event - Math.floorMod(event, windowMillis) + windowMillis - 1;
    }

    /** What holds for the kind that a good row is of. */
    Kind kindOf(RowData row) {
        if (select < 0) {
            return only;
        }
        StringData value = row.getString(select);
        if (value != newestValue) {
            newestKind = kinds.get(value);
            newestValue = value;
        }
        return newestKind;
    }

    private int[] indexes(JsonNode names) {
        int[] found = new int[names.size()];
        for (int i = 0; i < found.length; i++) {
            found[i] = index.get(names.get(i).asText());
        }
        return found;
    }

    private static StringData text(JsonNode node) {
        return node == null || node.isNull() ? null : text(node.asText());
    }

    /** For a text that stands in many rows: its bytes are made once. */
    static StringData text(String value) {
        BinaryStringData text = BinaryStringData.fromString(value);
        text.ensureMaterialized();
        return text;
    }

    /** Where a column stands that cannot be left out. */
    int index(String name) {
        Integer found = index.get(name);
        if (found == null) {
            throw new ValidationException(
                    topic + " has no column " + name + ", which bars are made of; it has " + index.keySet());
        }
        return found;
    }

    private Object writeReplace() {
        return new Text(json);
    }
}
