package ticklake.flink;

import java.time.Duration;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import org.apache.flink.configuration.ConfigOption;
import org.apache.flink.configuration.ConfigOptions;
import org.apache.flink.configuration.ReadableConfig;
import org.apache.flink.table.connector.source.DynamicTableSource;
import org.apache.flink.table.factories.DynamicTableSourceFactory;
import org.apache.flink.table.factories.FactoryUtil;
import org.apache.flink.table.types.logical.RowType;

/**
 * The connector {@code ticklake}: a topic of declared events as a table, each event once.
 *
 * <p>The stock Kafka table either fails the job on a bad record or drops it, and SQL's own
 * deduplication keeps a row of state in RocksDB for every id, which costs as much as all the rest
 * of the job. The options are made by flink_jobs/ddl.py.
 */
public final class TopicFactory implements DynamicTableSourceFactory {

    private static final String CLIENT = "properties.";

    static final ConfigOption<String> SPEC =
            ConfigOptions.key("spec").stringType().noDefaultValue()
                    .withDescription("the event's declaration as JSON");
    static final ConfigOption<String> JOB =
            ConfigOptions.key("job").stringType().noDefaultValue()
                    .withDescription("name of the job, for its receipts");
    static final ConfigOption<Duration> DELAY =
            ConfigOptions.key("watermark-delay").durationType().noDefaultValue()
                    .withDescription("how far the watermark stays behind the newest event time");
    static final ConfigOption<Duration> TOLERANCE =
            ConfigOptions.key("future-tolerance").durationType().noDefaultValue()
                    .withDescription("how far an event time may be ahead of the append time");
    static final ConfigOption<Duration> REMEMBER =
            ConfigOptions.key("remember").durationType().noDefaultValue()
                    .withDescription("how long an id is remembered, by the broker's append time");
    static final ConfigOption<Long> MOST_IDS =
            ConfigOptions.key("most-ids").longType().noDefaultValue()
                    .withDescription("ids above which the oldest are forgotten early, if that is safe");
    static final ConfigOption<Boolean> BARS =
            ConfigOptions.key("partial-bars").booleanType().defaultValue(false)
                    .withDescription("add rows with what ticks come to, for bars");
    static final ConfigOption<Map<String, String>> FROM =
            ConfigOptions.key("from").mapType().defaultValue(Map.of())
                    .withDescription("first offset by partition; empty: all that the topic has");
    static final ConfigOption<Map<String, String>> TO =
            ConfigOptions.key("to").mapType().defaultValue(Map.of())
                    .withDescription("offset by partition before which to end; empty: never");

    @Override
    public String factoryIdentifier() {
        return "ticklake";
    }

    @Override
    public Set<ConfigOption<?>> requiredOptions() {
        return Set.of(SPEC, JOB, DELAY, TOLERANCE, REMEMBER, MOST_IDS);
    }

    @Override
    public Set<ConfigOption<?>> optionalOptions() {
        return Set.of(BARS, FROM, TO);
    }

    @Override
    public DynamicTableSource createDynamicTableSource(Context context) {
        FactoryUtil.TableFactoryHelper helper = FactoryUtil.createTableFactoryHelper(this, context);
        helper.validateExcept(CLIENT);
        ReadableConfig options = helper.getOptions();
        RowType type =
                (RowType) context.getCatalogTable().getResolvedSchema().toPhysicalRowDataType().getLogicalType();
        EventSpec spec = EventSpec.parse(options.get(SPEC));
        Columns.check(spec, type);
        Properties client = new Properties();
        context.getCatalogTable().getOptions().forEach((name, value) -> {
            if (name.startsWith(CLIENT)) {
                client.setProperty(name.substring(CLIENT.length()), value);
            }
        });
        return new TopicSource(spec, type, options, client);
    }
}
