package ticklake.flink;

import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Properties;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.connector.source.Source;
import org.apache.flink.api.java.functions.KeySelector;
import org.apache.flink.configuration.ConfigOption;
import org.apache.flink.configuration.ReadableConfig;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.KafkaSourceBuilder;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.kafka.shaded.org.apache.kafka.common.TopicPartition;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.datastream.DataStreamUtils;
import org.apache.flink.streaming.api.datastream.KeyedStream;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.table.connector.ChangelogMode;
import org.apache.flink.table.connector.ProviderContext;
import org.apache.flink.table.connector.source.DataStreamScanProvider;
import org.apache.flink.table.connector.source.DynamicTableSource;
import org.apache.flink.table.connector.source.ScanTableSource;
import org.apache.flink.table.connector.source.abilities.SupportsSourceWatermark;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.runtime.typeutils.InternalTypeInfo;
import org.apache.flink.table.types.logical.RowType;

/** Kafka, the parse, the watermark of each partition, and the {@link Intake} behind them. */
final class TopicSource implements ScanTableSource, SupportsSourceWatermark {

    private static final String NEW_PARTITIONS_MS = "10000";

    private final EventSpec spec;
    private final RowType type;
    private final ReadableConfig options;
    private final Properties client;

    TopicSource(EventSpec spec, RowType type, ReadableConfig options, Properties client) {
        this.spec = spec;
        this.type = type;
        this.options = options;
        this.client = client;
    }

    @Override
    public ScanRuntimeProvider getScanRuntimeProvider(ScanContext context) {
        return new DataStreamScanProvider() {
            @Override
            public DataStream<RowData> produceDataStream(
                    ProviderContext provider, StreamExecutionEnvironment environment) {
                return stream(environment);
            }

            @Override
            public boolean isBounded() {
                return !options.get(TopicFactory.TO).isEmpty();
            }
        };
    }

    private DataStream<RowData> stream(StreamExecutionEnvironment environment) {
        TypeInformation<RowData> rows = InternalTypeInfo.of(type);
        int rowtime = spec.fields.size() + Columns.ROWTIME;
        WatermarkStrategy<RowData> watermarks =
                WatermarkStrategy.<RowData>forBoundedOutOfOrderness(options.get(TopicFactory.DELAY))
                        .withTimestampAssigner((row, ignored) -> row.getTimestamp(rowtime, 3).getMillisecond());
        DataStream<RowData> parsed =
                environment
                        .fromSource(source(rows), watermarks, spec.topic, rows)
                        .uid("source " + spec.topic);
        // A copy of an event has its id: wherever it comes from, it meets its original's memory.
        int idHash = spec.fields.size() + Columns.ID_HASH;
        KeySelector<RowData, Integer> key = row -> (int) row.getLong(idHash);
        KeyedStream<RowData, Integer> byId =
                environment.getParallelism() == 1
                        // nothing to exchange: records go on in the same thread
                        ? DataStreamUtils.reinterpretAsKeyedStream(parsed, key, Types.INT)
                        : parsed.keyBy(key, Types.INT);
        Intake intake =
                new Intake(
                        spec,
                        type,
                        options.get(TopicFactory.JOB),
                        options.get(TopicFactory.REMEMBER).toMillis(),
                        options.get(TopicFactory.MOST_IDS));
        DataStream<RowData> first =
                byId.transform("intake " + spec.topic, rows, intake).uid("intake " + spec.topic);
        if (!options.get(TopicFactory.BARS)) {
            return first;
        }
        String name = "partial bars " + spec.topic;
        return first.transform(name, rows, new PartialBars(spec)).uid(name);
    }

    private Source<RowData, ?, ?> source(TypeInformation<RowData> rows) {
        long tolerance = options.get(TopicFactory.TOLERANCE).toMillis();
        KafkaSourceBuilder<RowData> builder =
                KafkaSource.<RowData>builder()
                        .setProperties(client)
                        .setDeserializer(new RecordParser(rows, spec, tolerance));
        Map<TopicPartition, Long> from = offsets(TopicFactory.FROM);
        Map<TopicPartition, Long> to = offsets(TopicFactory.TO);
        if (to.isEmpty()) {
            // A new job reads all that Kafka still has; a resumed one goes by its own state.
            return new PromptSource(
                    builder.setTopics(spec.topic)
                            .setStartingOffsets(OffsetsInitializer.earliest())
                            .setProperty("partition.discovery.interval.ms", NEW_PARTITIONS_MS)
                            .build());
        }
        // a key set cannot be serialized with the source
        return builder.setPartitions(new HashSet<>(to.keySet()))
                .setStartingOffsets(OffsetsInitializer.offsets(from))
                .setBounded(OffsetsInitializer.offsets(to))
                .build();
    }

    private Map<TopicPartition, Long> offsets(ConfigOption<Map<String, String>> option) {
        Map<TopicPartition, Long> found = new HashMap<>();
        options.get(option).forEach(
                (partition, offset) ->
                        found.put(
                                new TopicPartition(spec.topic, Integer.parseInt(partition)),
                                Long.parseLong(offset)));
        return found;
    }

    @Override
    public ChangelogMode getChangelogMode() {
        return ChangelogMode.insertOnly();
    }

    @Override
    public void applySourceWatermark() {
        // the watermark is made at the source, partition by partition
    }

    @Override
    public DynamicTableSource copy() {
        return new TopicSource(spec, type, options, client);
    }

    @Override
    public String asSummaryString() {
        return "ticklake " + spec.topic;
    }
}
