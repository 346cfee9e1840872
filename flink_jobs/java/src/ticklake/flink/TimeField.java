package ticklake.flink;

import java.io.IOException;
import java.time.DateTimeException;
import java.time.LocalDate;
import java.time.OffsetDateTime;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonParser;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonToken;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.JsonNode;
import org.apache.flink.table.data.TimestampData;

/** A time: ISO-8601 with its zone, to the microsecond, such as 2026-01-31T23:59:59.123456Z. */
final class TimeField extends Field {

    private static final String ALLOWED =
            "ISO-8601 with a zone and at most 6 digits of a second is allowed, such as "
                    + "2026-01-31T23:59:59.123456Z";
    private static final long DAY_MILLIS = 86_400_000L;
    private static final int LAST_YEAR = 9999;
    private static final int DATE = 10;

    private final long leastMillis;
    // Ticks come day by day: the date is looked up once a day.
    private char[] lastDate;
    private long lastMillis;

    TimeField(JsonNode column) {
        super(column);
        leastMillis =
                column.hasNonNull("least")
                        ? OffsetDateTime.parse(column.get("least").asText()).toInstant().toEpochMilli()
                        : Long.MIN_VALUE;
    }

    @Override
    Object read(JsonParser parser) throws IOException, Rejected {
        if (parser.currentToken() != JsonToken.VALUE_STRING) {
            throw wrongType(parser, ALLOWED);
        }
        char[] text = parser.getTextCharacters();
        int start = parser.getTextOffset();
        int length = parser.getTextLength();
        TimestampData time;
        try {
            // the form on the wire: yyyy-mm-ddThh:mm:ss.ffffffZ
            if (length == 27 && text[start + 26] == 'Z' && text[start + 10] == 'T' && text[start + 19] == '.') {
                time = wire(text, start);
            } else {
                time = any(new String(text, start, length));
            }
        } catch (DateTimeException error) {
            throw wrongType(parser, ALLOWED);
        }
        if (time.getMillisecond() < leastMillis) {
            throw Rejected.of("out_of_range", name, parser.getText(), "1970 or later is allowed");
        }
        return time;
    }

    private TimestampData wire(char[] text, int at) {
        int hour = number(text, at + 11, 2, 23);
        int minute = number(text, at + 14, 2, 59);
        int second = number(text, at + 17, 2, 59);
        int micros = number(text, at + 20, 6, 999_999);
        if (text[at + 13] != ':' || text[at + 16] != ':') {
            throw new DateTimeException("separator");
        }
        long millis = date(text, at) + ((hour * 60L + minute) * 60 + second) * 1000 + micros / 1000;
        return TimestampData.fromEpochMillis(millis, micros % 1000 * 1000);
    }

    private long date(char[] text, int at) {
        if (lastDate == null) {
            lastDate = new char[DATE];
        }
        for (int i = 0; i < DATE; i++) {
            if (text[at + i] != lastDate[i]) {
                lastMillis = LocalDate.parse(new String(text, at, DATE)).toEpochDay() * DAY_MILLIS;
                System.arraycopy(text, at, lastDate, 0, DATE);
                break;
            }
        }
        return lastMillis;
    }

    private static int number(char[] text, int at, int digits, int most) {
        int value = 0;
        for (int i = at; i < at + digits; i++) {
            int digit = text[i] - '0';
            if (digit < 0 || digit > 9) {
                throw new DateTimeException("digit");
            }
            value = value * 10 + digit;
        }
        if (value > most) {
            throw new DateTimeException("range");
        }
        return value;
    }

    private TimestampData any(String text) throws Rejected {
        OffsetDateTime time = OffsetDateTime.parse(text);
        if (time.getNano() % 1000 != 0) {
            throw new DateTimeException("finer than a microsecond");
        }
        if (time.getYear() > LAST_YEAR) {
            throw Rejected.of("future_timestamp", name, text, "it is ahead of every clock; the year " + LAST_YEAR + " or earlier is allowed");
        }
        return TimestampData.fromInstant(time.toInstant());
    }
}
