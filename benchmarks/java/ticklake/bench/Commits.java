package ticklake.bench;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.time.OffsetDateTime;
import java.util.Map;
import org.apache.hadoop.conf.Configuration;
import org.apache.iceberg.DataFile;
import org.apache.iceberg.PartitionKey;
import org.apache.iceberg.Table;
import org.apache.iceberg.catalog.TableIdentifier;
import org.apache.iceberg.data.GenericRecord;
import org.apache.iceberg.data.InternalRecordWrapper;
import org.apache.iceberg.data.Record;
import org.apache.iceberg.data.parquet.GenericParquetWriter;
import org.apache.iceberg.io.DataWriter;
import org.apache.iceberg.io.OutputFile;
import org.apache.iceberg.jdbc.JdbcCatalog;
import org.apache.iceberg.parquet.Parquet;

/**
 * The commits of a stream, without the stream: small files of trades, each in an append that
 * leaves in the summary what Flink's committer leaves.
 */
public final class Commits {

    private static final int PAIRS = 64;
    private static final int PARTITIONS = 4;
    private static final long STEP_MICROS = 5_000_000;
    private static final int TAG_EVERY = 720;

    private final Table table;
    private final OffsetDateTime start;
    private final int rows;
    private long done;

    private Commits(Table table, OffsetDateTime start, int rows) {
        this.table = table;
        this.start = start;
        this.rows = rows;
    }

    /**
     * Arguments: address of the database, user, name of the catalog, warehouse, table, the first event
     * time, rows of a commit; the password is in the environment. Reads how many commits to make, line by
     * line, and answers each with how many it has made in all.
     */
    public static void main(String[] arguments) throws IOException {
        JdbcCatalog catalog = new JdbcCatalog();
        Configuration hadoop = new Configuration();
        hadoop.set("fs.file.impl", "ticklake.flink.LocalFiles"); // as the local stack's Flink has it
        catalog.setConf(hadoop);
        catalog.initialize(
                arguments[2],
                Map.of(
                        "warehouse", arguments[3],
                        "uri", "jdbc:" + arguments[0],
                        "jdbc.user", arguments[1],
                        "jdbc.password", System.getenv("TICKLAKE_CATALOG__PASSWORD"),
                        "jdbc.schema-version", "V1"));
        Commits commits =
                new Commits(
                        catalog.loadTable(TableIdentifier.parse(arguments[4])),
                        OffsetDateTime.parse(arguments[5]),
                        Integer.parseInt(arguments[6]));
        BufferedReader lines =
                new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            for (long n = Long.parseLong(line); n > 0; n--) {
                commits.append();
            }
            System.out.println(commits.done);
        }
        catalog.close();
    }

    private void append() throws IOException {
        DataFile file = write();
        done++;
        table.newAppend()
                .appendFile(file)
                .set("flink.job-id", "bench")
                .set("flink.operator-id", "bench")
                .set("flink.max-committed-checkpoint-id", String.valueOf(done))
                .commit();
        if (done % TAG_EVERY == 0) {
            long newest = table.currentSnapshot().snapshotId();
            table.manageSnapshots().createTag("bench-" + done, newest).commit();
        }
    }

    private DataFile write() throws IOException {
        OffsetDateTime began = start.plusNanos(done * STEP_MICROS * 1000);
        PartitionKey key = new PartitionKey(table.spec(), table.schema());
        key.partition(new InternalRecordWrapper(table.schema().asStruct()).wrap(trade(began, 0)));
        String name = "bench-" + done + ".parquet";
        OutputFile target =
                table.io().newOutputFile(table.locationProvider().newDataLocation(table.spec(), key, name));
        DataWriter<Record> writer =
                Parquet.writeData(target)
                        .forTable(table)
                        .withPartition(key)
                        .withSortOrder(table.sortOrder())
                        .createWriterFunc(GenericParquetWriter::create)
                        .build();
        try (writer) {
            for (int n = 0; n < rows; n++) {
                writer.write(trade(began, n));
            }
        }
        return writer.toDataFile();
    }

    private Record trade(OffsetDateTime began, int n) {
        long number = done * rows + n;
        Record row = GenericRecord.create(table.schema());
        row.setField("event_id", "bench:trade:" + done + ":" + n);
        row.setField("source_provider", "bench");
        row.setField("asset_pair", String.format("P%02dUSD", n % PAIRS));
        row.setField("timestamp", began.plusNanos(STEP_MICROS * n / rows * 1000));
        row.setField("price", BigDecimal.valueOf(100 + n % 7).setScale(8));
        row.setField("size", BigDecimal.ONE.setScale(8));
        row.setField("trade_id", String.valueOf(number));
        row.setField("is_mock", true);
        row.setField("_kafka_partition", n % PARTITIONS);
        row.setField("_kafka_offset", number);
        row.setField("_ingested_at", began.plusSeconds(5));
        return row;
    }
}
