package ticklake.bench;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.File;
import java.io.IOException;
import java.math.BigDecimal;
import java.time.Duration;
import java.time.Instant;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.apache.iceberg.Files;
import org.apache.iceberg.Schema;
import org.apache.iceberg.data.GenericRecord;
import org.apache.iceberg.data.parquet.GenericParquetWriter;
import org.apache.iceberg.io.FileAppender;
import org.apache.iceberg.parquet.Parquet;
import org.apache.iceberg.types.Types;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * The ceiling: one loop that reads the topic, parses each trade and writes Parquet. No deduplication,
 * no bars, no dead letters, no checkpoint, no commit: what an engine adds is measured against it.
 */
public final class Ceiling {

    private static final Schema SCHEMA =
            new Schema(
                    Types.NestedField.required(1, "event_id", Types.StringType.get()),
                    Types.NestedField.required(2, "source_provider", Types.StringType.get()),
                    Types.NestedField.required(3, "asset_pair", Types.StringType.get()),
                    Types.NestedField.required(4, "timestamp", Types.TimestampType.withZone()),
                    Types.NestedField.required(5, "price", Types.DecimalType.of(18, 8)),
                    Types.NestedField.required(6, "size", Types.DecimalType.of(18, 8)),
                    Types.NestedField.optional(7, "trade_id", Types.StringType.get()),
                    Types.NestedField.optional(8, "aggressor_side", Types.StringType.get()),
                    Types.NestedField.required(9, "is_mock", Types.BooleanType.get()),
                    Types.NestedField.required(10, "_kafka_partition", Types.IntegerType.get()),
                    Types.NestedField.required(11, "_kafka_offset", Types.LongType.get()));

    private Ceiling() {}

    /** Arguments: broker, topic, the file to write. Prints rows and bytes. */
    public static void main(String[] arguments) throws IOException {
        Map<String, Object> settings =
                Map.of(
                        "bootstrap.servers", arguments[0],
                        "max.poll.records", 10_000,
                        "max.partition.fetch.bytes", 8 << 20,
                        "fetch.max.bytes", 32 << 20);
        long rows = 0;
        File file = new File(arguments[2]);
        JsonFactory json = new JsonFactory();
        try (KafkaConsumer<byte[], byte[]> consumer =
                        new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer());
                FileAppender<GenericRecord> out =
                        Parquet.write(Files.localOutput(file))
                                .schema(SCHEMA)
                                .createWriterFunc(GenericParquetWriter::create)
                                .set("write.parquet.compression-codec", "zstd")
                                .set("write.parquet.row-group-size-bytes", String.valueOf(32 << 20))
                                .set("write.parquet.dict-size-bytes", String.valueOf(64 << 10))
                                .set("write.parquet.page-version", "v2")
                                .build()) {
            List<TopicPartition> partitions = new ArrayList<>();
            for (PartitionInfo info : consumer.partitionsFor(arguments[1])) {
                partitions.add(new TopicPartition(info.topic(), info.partition()));
            }
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
            GenericRecord row = GenericRecord.create(SCHEMA);
            while (partitions.stream().anyMatch(p -> consumer.position(p) < ends.get(p))) {
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofSeconds(1))) {
                    if (fill(row, json, record)) {
                        out.add(row);
                        rows++;
                    }
                }
            }
        }
        System.out.println(rows + " " + file.length());
    }

    private static boolean fill(GenericRecord row, JsonFactory json, ConsumerRecord<byte[], byte[]> record) {
        boolean trade = false;
        try (JsonParser parser = json.createParser(record.value())) {
            parser.nextToken();
            for (String name = parser.nextFieldName(); name != null; name = parser.nextFieldName()) {
                JsonToken token = parser.nextToken();
                switch (name) {
                    case "kind" -> trade = "trade".equals(parser.getText());
                    case "timestamp" -> row.setField(name, Instant.parse(parser.getText()).atOffset(ZoneOffset.UTC));
                    case "price", "size" -> row.setField(name, new BigDecimal(parser.getText()).setScale(8));
                    case "is_mock" -> row.setField(name, token == JsonToken.VALUE_TRUE);
                    default -> row.setField(name, parser.getText());
                }
            }
        } catch (IOException broken) {
            return false;
        }
        row.setField("_kafka_partition", record.partition());
        row.setField("_kafka_offset", record.offset());
        return trade;
    }
}
