package ticklake.flink;

import java.util.ArrayList;
import java.util.List;
import org.apache.flink.table.api.ValidationException;
import org.apache.flink.table.types.logical.RowType;

/** What stands behind the event's own columns in a row, counted from the event's last column. */
final class Columns {

    /** Names in their order; flink_jobs/ddl.py declares the same. */
    static final List<String> NAMES =
            List.of(
                    "_table", "_event_us", "_id_hash", "_content_hash", "_error_code", "_error_message",
                    "_key", "_payload", "_headers", "_headers_text", "_attempts", "_kafka_partition",
                    "_kafka_offset", "_ingested_at", "_rowtime", "_receipt", "_bar");

    static final int TABLE = 0;
    static final int EVENT_US = 1;
    static final int ID_HASH = 2;
    static final int CONTENT_HASH = 3;
    static final int ERROR_CODE = 4;
    static final int ERROR_MESSAGE = 5;
    static final int KEY = 6;
    static final int PAYLOAD = 7;
    static final int HEADERS = 8;
    static final int HEADERS_TEXT = 9;
    static final int ATTEMPTS = 10;
    static final int PARTITION = 11;
    static final int OFFSET = 12;
    static final int INGESTED_AT = 13;
    static final int ROWTIME = 14;
    static final int RECEIPT = 15;
    static final int BAR = 16;

    private Columns() {}

    static void check(EventSpec spec, RowType type) {
        List<String> names = new ArrayList<>();
        spec.fields.forEach(field -> names.add(field.name));
        names.addAll(NAMES);
        if (!names.equals(type.getFieldNames())) {
            throw new ValidationException(
                    "the table has the columns " + type.getFieldNames() + "; the spec asks for " + names);
        }
    }
}
