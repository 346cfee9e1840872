package ticklake.flink;

import java.io.IOException;
import java.io.Serializable;
import java.io.StringWriter;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.Map;
import java.util.Set;
import java.util.regex.Pattern;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonGenerator;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonParser;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonToken;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.JsonNode;
import org.apache.flink.table.api.ValidationException;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.data.binary.BinaryStringData;

/** One declared column: reads its value from the parser's current token, or says what is wrong. */
abstract class Field implements Serializable {

    private static final long serialVersionUID = 1L;

    final String name;
    final boolean required;
    Object fallback;

    Field(JsonNode column) {
        name = column.get("name").asText();
        required = column.get("required").asBoolean();
    }

    /** The value in Flink's internal form; the token is not null. */
    abstract Object read(JsonParser parser) throws IOException, Rejected;

    static Field of(JsonNode column) {
        String type = column.get("type").asText();
        Field field;
        if (column.path("document").asBoolean()) {
            field = new DocumentField(column);
        } else if (type.startsWith("decimal")) {
            field = new DecimalField(column);
        } else {
            field =
                    switch (type) {
                        case "string" -> new TextField(column);
                        case "long" -> new LongField(column);
                        case "boolean" -> new BooleanField(column);
                        case "timestamptz" -> new TimeField(column);
                        default -> throw new ValidationException("no reader for the type " + type);
                    };
        }
        if (column.hasNonNull("default")) {
            field.fallback = field.fallback(column.get("default").asText());
        }
        return field;
    }

    Object fallback(String text) {
        throw new ValidationException(name + ": no default is possible for this type");
    }

    final Rejected wrongType(JsonParser parser, String allowed) throws IOException {
        return Rejected.of("wrong_type", name, shown(parser), allowed);
    }

    static String shown(JsonParser parser) throws IOException {
        JsonToken token = parser.currentToken();
        if (token == JsonToken.START_OBJECT) {
            return "an object";
        }
        if (token == JsonToken.START_ARRAY) {
            return "a list";
        }
        return token == JsonToken.VALUE_STRING ? '"' + parser.getText() + '"' : parser.getText();
    }

    private static final class TextField extends Field {
        private static final long serialVersionUID = 1L;
        private static final int REMEMBERED = 10_000;
        private static final String IDENTIFIER = "^[!-~]+$";

        private final int maxLength;
        private final Pattern pattern;
        private final boolean identifier;
        private final Set<String> allowed = new LinkedHashSet<>();
        // Venues, pairs and kinds are few: each is checked and encoded once.
        private transient Map<String, StringData> accepted;

        TextField(JsonNode column) {
            super(column);
            maxLength = column.path("max_length").asInt(Integer.MAX_VALUE);
            String text = column.hasNonNull("pattern") ? column.get("pattern").asText() : null;
            identifier = IDENTIFIER.equals(text);
            pattern = text == null || identifier ? null : Pattern.compile(text);
            column.path("allowed").forEach(value -> allowed.add(value.asText()));
        }

        @Override
        Object read(JsonParser parser) throws IOException, Rejected {
            if (parser.currentToken() != JsonToken.VALUE_STRING) {
                throw wrongType(parser, "a string is allowed");
            }
            String text = parser.getText();
            if (pattern == null && allowed.isEmpty()) {
                check(text);
                return StringData.fromString(text);
            }
            if (accepted == null) {
                accepted = new HashMap<>();
            }
            StringData known = accepted.get(text);
            if (known == null) {
                check(text);
                BinaryStringData fresh = BinaryStringData.fromString(text);
                fresh.ensureMaterialized();
                known = fresh;
                if (accepted.size() < REMEMBERED) {
                    accepted.put(text, known);
                }
            }
            return known;
        }

        private void check(String text) throws Rejected {
            if (!allowed.isEmpty() && !allowed.contains(text)) {
                throw Rejected.of("not_allowed", name, '"' + text + '"', "allowed are " + allowed);
            }
            if (text.length() > maxLength) {
                throw Rejected.of(
                        "out_of_range", name, "of " + text.length() + " characters",
                        "at most " + maxLength + " are allowed");
            }
            if (identifier && !isIdentifier(text)) {
                throw Rejected.of(
                        "out_of_range", name, '"' + text + '"',
                        "1 or more printable ASCII characters without blanks are allowed");
            }
            if (pattern != null && !pattern.matcher(text).matches()) {
                throw Rejected.of("out_of_range", name, '"' + text + '"', "it must match " + pattern);
            }
        }

        private static boolean isIdentifier(String text) {
            for (int i = 0; i < text.length(); i++) {
                char c = text.charAt(i);
                if (c < '!' || c > '~') {
                    return false;
                }
            }
            return !text.isEmpty();
        }
    }

    private static final class LongField extends Field {
        private static final long serialVersionUID = 1L;
        private final long least;
        private final long most;

        LongField(JsonNode column) {
            super(column);
            least = column.hasNonNull("least") ? Long.parseLong(column.get("least").asText()) : Long.MIN_VALUE;
            most = column.hasNonNull("most") ? Long.parseLong(column.get("most").asText()) : Long.MAX_VALUE;
        }

        @Override
        Object read(JsonParser parser) throws IOException, Rejected {
            if (parser.currentToken() != JsonToken.VALUE_NUMBER_INT) {
                throw wrongType(parser, "a whole number is allowed");
            }
            boolean fits = parser.getNumberType() != JsonParser.NumberType.BIG_INTEGER;
            if (!fits || parser.getLongValue() < least || parser.getLongValue() > most) {
                throw Rejected.of(
                        "out_of_range", name, parser.getText(), least + " to " + most + " is allowed");
            }
            return parser.getLongValue();
        }

        @Override
        Object fallback(String text) {
            return Long.parseLong(text);
        }
    }

    private static final class BooleanField extends Field {
        private static final long serialVersionUID = 1L;

        BooleanField(JsonNode column) {
            super(column);
        }

        @Override
        Object read(JsonParser parser) throws IOException, Rejected {
            return switch (parser.currentToken()) {
                case VALUE_TRUE -> Boolean.TRUE;
                case VALUE_FALSE -> Boolean.FALSE;
                default -> throw wrongType(parser, "true or false is allowed");
            };
        }

        @Override
        Object fallback(String text) {
            return Boolean.parseBoolean(text);
        }
    }

    private static final class DocumentField extends Field {
        private static final long serialVersionUID = 1L;

        DocumentField(JsonNode column) {
            super(column);
        }

        @Override
        Object read(JsonParser parser) throws IOException, Rejected {
            if (parser.currentToken() != JsonToken.START_OBJECT) {
                throw wrongType(parser, "a JSON object is allowed");
            }
            StringWriter text = new StringWriter();
            try (JsonGenerator copy = EventDeserializer.JSON.createGenerator(text)) {
                copy.copyCurrentStructure(parser);
            }
            return StringData.fromString(text.toString());
        }
    }
}
