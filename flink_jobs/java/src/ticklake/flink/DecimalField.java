package ticklake.flink;

import java.io.IOException;
import java.math.BigDecimal;
import java.math.RoundingMode;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonParser;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonToken;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.JsonNode;
import org.apache.flink.table.data.DecimalData;

/** An exact decimal: a string on the wire; a JSON number is read from its digits, never as a float. */
final class DecimalField extends Field {

    private static final Pattern TYPE = Pattern.compile("decimal\\((\\d+), (\\d+)\\)");
    private static final Pattern NUMBER =
            Pattern.compile("[+-]?(?:[0-9]+(?:\\.[0-9]*)?|\\.[0-9]+)(?:[eE][+-]?[0-9]+)?");
    private static final int LONGEST = 64;
    private static final int COMPACT = 18; // digits that fit a long

    private final int precision;
    private final int scale;
    private final boolean rounded;
    private final BigDecimal above;
    private final BigDecimal least;
    private final BigDecimal most;
    private final long lowest; // the smallest unscaled value allowed, where the type is compact

    DecimalField(JsonNode column) {
        super(column);
        Matcher type = TYPE.matcher(column.get("type").asText());
        if (!type.matches()) {
            throw new IllegalArgumentException(column.get("type").asText());
        }
        precision = Integer.parseInt(type.group(1));
        scale = Integer.parseInt(type.group(2));
        rounded = column.path("rounded").asBoolean();
        above = limit(column, "above");
        least = limit(column, "least");
        most = limit(column, "most");
        long floor = Long.MIN_VALUE;
        if (precision <= COMPACT) {
            floor = least == null ? floor : unscaled(least);
            floor = above == null ? floor : Math.max(floor, unscaled(above) + 1);
        }
        lowest = floor;
    }

    private static BigDecimal limit(JsonNode column, String name) {
        return column.hasNonNull(name) ? new BigDecimal(column.get(name).asText()) : null;
    }

    private long unscaled(BigDecimal value) {
        return value.setScale(scale, RoundingMode.UNNECESSARY).unscaledValue().longValueExact();
    }

    @Override
    Object read(JsonParser parser) throws IOException, Rejected {
        JsonToken token = parser.currentToken();
        if (token != JsonToken.VALUE_STRING
                && token != JsonToken.VALUE_NUMBER_FLOAT
                && token != JsonToken.VALUE_NUMBER_INT) {
            throw wrongType(parser, "a decimal string is allowed");
        }
        char[] text = parser.getTextCharacters();
        int start = parser.getTextOffset();
        int length = parser.getTextLength();
        if (precision <= COMPACT && most == null && length <= COMPACT) {
            long value = plain(text, start, length);
            if (value >= 0 && value >= lowest) {
                return DecimalData.fromUnscaledLong(value, precision, scale);
            }
        }
        return exact(parser, new String(text, start, length));
    }

    /** The unscaled value of digits with at most one point; -1 where the long way must look. */
    private long plain(char[] text, int start, int length) {
        long value = 0;
        int places = -1;
        for (int i = start; i < start + length; i++) {
            int digit = text[i] - '0';
            if (digit >= 0 && digit <= 9) {
                value = value * 10 + digit;
                places += places >= 0 ? 1 : 0;
            } else if (text[i] == '.' && places < 0 && i > start) {
                places = 0;
            } else {
                return -1;
            }
        }
        places = Math.max(places, 0);
        if (length == 0 || places > scale || text[start + length - 1] == '.') {
            return -1;
        }
        int whole = length - (places > 0 ? places + 1 : 0);
        if (whole > precision - scale) {
            return -1;
        }
        for (int i = places; i < scale; i++) {
            value *= 10;
        }
        return value;
    }

    private Object exact(JsonParser parser, String text) throws IOException, Rejected {
        // BigDecimal itself would take the digits of any script
        if (!NUMBER.matcher(text).matches()) {
            throw wrongType(parser, "a decimal string is allowed");
        }
        BigDecimal value;
        try {
            value = text.length() > LONGEST ? null : new BigDecimal(text);
        } catch (NumberFormatException exponent) {
            value = null;
        }
        if (value == null) {
            throw Rejected.of(
                    "out_of_range", name, text,
                    "at most " + LONGEST + " characters and an exponent of 9 digits are read");
        }
        // An exponent of a thousand digits must not be expanded.
        boolean huge = value.precision() - (long) value.scale() > precision - scale;
        if (!huge) {
            boolean fine = value.stripTrailingZeros().scale() <= scale;
            if (!fine && !rounded) {
                throw Rejected.of("out_of_range", name, text, "at most " + scale + " decimals are kept");
            }
            value = value.setScale(scale, RoundingMode.HALF_EVEN);
            huge = value.precision() > precision;
        }
        if (huge) {
            throw Rejected.of(
                    "out_of_range", name, text,
                    "at most " + (precision - scale) + " digits before the point are kept");
        }
        if (above != null && value.compareTo(above) <= 0) {
            throw Rejected.of("out_of_range", name, text, "it must be above " + above);
        }
        if (least != null && value.compareTo(least) < 0) {
            throw Rejected.of("out_of_range", name, text, "at least " + least + " is allowed");
        }
        if (most != null && value.compareTo(most) > 0) {
            throw Rejected.of("out_of_range", name, text, "at most " + most + " is allowed");
        }
        return DecimalData.fromBigDecimal(value, precision, scale);
    }
}
