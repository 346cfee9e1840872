package ticklake.flink;

import java.util.Set;
import org.apache.flink.api.common.serialization.DeserializationSchema;
import org.apache.flink.configuration.ConfigOption;
import org.apache.flink.configuration.ConfigOptions;
import org.apache.flink.configuration.ReadableConfig;
import org.apache.flink.table.connector.ChangelogMode;
import org.apache.flink.table.connector.format.DecodingFormat;
import org.apache.flink.table.connector.source.DynamicTableSource;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.factories.DeserializationFormatFactory;
import org.apache.flink.table.factories.DynamicTableFactory;
import org.apache.flink.table.factories.FactoryUtil;
import org.apache.flink.table.types.DataType;
import org.apache.flink.table.types.logical.RowType;

/**
 * The format {@code ticklake-event}: one parse that also validates.
 *
 * <p>The stock {@code json} format either fails the job on a bad record or drops it, and keeps no
 * bytes. This one gives every record a row: the event's columns, or NULLs with the reason and the
 * unchanged bytes. Its option {@code spec} is the event's declaration, made by flink_jobs/ddl.py.
 */
public final class EventFormatFactory implements DeserializationFormatFactory {

    private static final ConfigOption<String> SPEC =
            ConfigOptions.key("spec").stringType().noDefaultValue();

    @Override
    public String factoryIdentifier() {
        return "ticklake-event";
    }

    @Override
    public Set<ConfigOption<?>> requiredOptions() {
        return Set.of(SPEC);
    }

    @Override
    public Set<ConfigOption<?>> optionalOptions() {
        return Set.of();
    }

    @Override
    public DecodingFormat<DeserializationSchema<RowData>> createDecodingFormat(
            DynamicTableFactory.Context context, ReadableConfig options) {
        FactoryUtil.validateFactoryOptions(this, options);
        EventSpec spec = EventSpec.parse(options.get(SPEC));
        return new DecodingFormat<>() {
            @Override
            public DeserializationSchema<RowData> createRuntimeDecoder(
                    DynamicTableSource.Context source, DataType type) {
                spec.check((RowType) type.getLogicalType());
                return new EventDeserializer(source.createTypeInformation(type), spec);
            }

            @Override
            public ChangelogMode getChangelogMode() {
                return ChangelogMode.insertOnly();
            }
        };
    }
}
