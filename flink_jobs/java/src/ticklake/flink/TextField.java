package ticklake.flink;

import java.io.IOException;
import java.util.Arrays;
import java.util.LinkedHashSet;
import java.util.Set;
import java.util.regex.Pattern;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonParser;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonToken;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.JsonNode;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.data.binary.BinaryStringData;

/** A text: free, an identifier of printable ASCII, or one of few that a pattern or a list allows. */
final class TextField extends Field {

    private static final String IDENTIFIER = "^[!-~]+$";
    private static final int REMEMBERED = 1 << 10;

    private final int maxLength;
    private final Pattern pattern;
    private final boolean identifier;
    private final Set<String> allowed = new LinkedHashSet<>();
    // Venues, pairs and kinds are few: each is checked and encoded once, and found by its characters.
    private final char[][] known = new char[REMEMBERED][];
    private final StringData[] values = new StringData[REMEMBERED];
    private final int[] hashes = new int[REMEMBERED];

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
        char[] text = parser.getTextCharacters();
        int start = parser.getTextOffset();
        int length = parser.getTextLength();
        if (identifier) {
            return identifier(text, start, length);
        }
        if (pattern != null || !allowed.isEmpty()) {
            return oneOfFew(text, start, length);
        }
        String free = new String(text, start, length);
        checkLength(free);
        return wellFormed(free);
    }

    private StringData identifier(char[] text, int start, int length) throws Rejected {
        byte[] bytes = new byte[length];
        boolean fine = length > 0;
        for (int i = 0; i < length; i++) {
            char c = text[start + i];
            fine &= c >= '!' && c <= '~';
            bytes[i] = (byte) c;
        }
        if (!fine) {
            throw Rejected.of(
                    "out_of_range", name, '"' + new String(text, start, length) + '"',
                    "1 or more printable ASCII characters without blanks are allowed");
        }
        if (length > maxLength) {
            checkLength(new String(text, start, length));
        }
        return StringData.fromBytes(bytes);
    }

    private StringData oneOfFew(char[] text, int start, int length) throws Rejected {
        int hash = length;
        for (int i = start; i < start + length; i++) {
            hash = 31 * hash + text[i];
        }
        int at = (hash ^ hash >>> 15) & REMEMBERED - 1;
        char[] there = known[at];
        if (there == null || !Arrays.equals(there, 0, there.length, text, start, start + length)) {
            remember(at, new String(text, start, length));
        }
        newest = values[at];
        newestHash = hashes[at];
        return values[at];
    }

    private void remember(int at, String fresh) throws Rejected {
        check(fresh);
        BinaryStringData value = BinaryStringData.fromString(fresh);
        value.ensureMaterialized();
        known[at] = fresh.toCharArray();
        values[at] = value;
        hashes[at] = value.hashCode();
    }

    private void check(String text) throws Rejected {
        if (!allowed.isEmpty() && !allowed.contains(text)) {
            throw Rejected.of("not_allowed", name, '"' + text + '"', "allowed are " + allowed);
        }
        checkLength(text);
        if (pattern != null && !pattern.matcher(text).matches()) {
            throw Rejected.of("out_of_range", name, '"' + text + '"', "it must match " + pattern);
        }
    }

    private void checkLength(String text) throws Rejected {
        if (text.length() > maxLength) {
            throw Rejected.of(
                    "out_of_range", name, "of " + text.length() + " characters",
                    "at most " + maxLength + " are allowed");
        }
    }
}
