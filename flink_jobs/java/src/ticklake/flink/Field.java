package ticklake.flink;

import java.io.IOException;
import java.io.StringWriter;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonGenerator;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonParser;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonToken;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.JsonNode;
import org.apache.flink.table.api.ValidationException;
import org.apache.flink.table.data.StringData;

/** One declared column: reads its value from the parser's current token, or says what is wrong. */
abstract class Field {

    final String name;
    final boolean required;
    Object fallback;
    // the value that was read last, where its hash is known
    Object newest;
    int newestHash;

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

    /** A surrogate alone is no character, and no UTF-8 can hold it. */
    final StringData wellFormed(String text) throws Rejected {
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            boolean pair = Character.isHighSurrogate(c) && i + 1 < text.length() && Character.isLowSurrogate(text.charAt(i + 1));
            if (Character.isSurrogate(c) && !pair) {
                throw new Rejected("out_of_range", name + " has half of a surrogate pair; whole characters are needed");
            }
            i += pair ? 1 : 0;
        }
        return StringData.fromString(text);
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

    private static final class LongField extends Field {
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
        DocumentField(JsonNode column) {
            super(column);
        }

        @Override
        Object read(JsonParser parser) throws IOException, Rejected {
            if (parser.currentToken() != JsonToken.START_OBJECT) {
                throw wrongType(parser, "a JSON object is allowed");
            }
            StringWriter text = new StringWriter();
            try (JsonGenerator copy = RecordParser.JSON.createGenerator(text)) {
                copy.copyCurrentStructure(parser);
            }
            return wellFormed(text.toString());
        }
    }
}
