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
import org.apache.flink.table.types.logical.RowType;

/** The declaration of an event, as the deserializer needs it. */
final class EventSpec implements Serializable {

    private static final long serialVersionUID = 1L;

    /** What one value of the selecting column asks of the others. */
    static final class Kind implements Serializable {
        private static final long serialVersionUID = 1L;
        final int[] required;
        final boolean[] known;

        Kind(int[] required, boolean[] known) {
            this.required = required;
            this.known = known;
        }
    }

    /** {@code left <= right}, or {@code left >= right} if {@code atLeast}. */
    record Rule(int left, boolean atLeast, int right) implements Serializable {}

    final List<Field> fields = new ArrayList<>();
    final Map<String, Integer> index = new HashMap<>();
    final Map<String, Kind> kinds = new HashMap<>();
    final List<Rule> rules = new ArrayList<>();
    int select = -1;
    int time;
    int maxBytes;

    static EventSpec parse(String json) {
        try {
            return new EventSpec(new ObjectMapper().readTree(json));
        } catch (IOException error) {
            throw new ValidationException("the option spec is no JSON: " + error.getMessage());
        }
    }

    private EventSpec(JsonNode node) {
        maxBytes = node.get("max_bytes").asInt();
        for (JsonNode column : node.get("columns")) {
            index.put(column.get("name").asText(), fields.size());
            fields.add(Field.of(column));
        }
        time = index.get(node.get("time").asText());
        if (node.hasNonNull("select")) {
            select = index.get(node.get("select").asText());
            node.get("kinds").fields().forEachRemaining(e -> kinds.put(e.getKey(), kind(e.getValue())));
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
        int[] required = new int[node.get("required").size()];
        for (int i = 0; i < required.length; i++) {
            required[i] = index.get(node.get("required").get(i).asText());
        }
        boolean[] known = new boolean[fields.size()];
        for (JsonNode name : node.get("known")) {
            known[index.get(name.asText())] = true;
        }
        return new Kind(required, known);
    }

    /** The table must have the declared columns, then those that the deserializer adds. */
    void check(RowType type) {
        List<String> names = new ArrayList<>();
        fields.forEach(f -> names.add(f.name));
        names.addAll(List.of("_event_us", "_error_code", "_error_message", "_payload"));
        if (!names.equals(type.getFieldNames())) {
            throw new ValidationException(
                    "the table has the columns " + type.getFieldNames() + "; the spec asks for " + names);
        }
    }
}
