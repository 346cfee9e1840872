package ticklake.bench;

import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.Map;
import java.util.concurrent.locks.LockSupport;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** A live market at a steady rate: a trade's event time is the moment at which it is sent. */
public final class Live {

    private static final int PAIRS = 64;
    private static final int PARTITIONS = 4;

    private Live() {}

    /** Arguments: broker, topic, trades a second, seconds. */
    public static void main(String[] arguments) throws Exception {
        long rate = Long.parseLong(arguments[2]);
        long total = rate * Long.parseLong(arguments[3]);
        Map<String, Object> settings =
                Map.of("bootstrap.servers", arguments[0], "compression.type", "lz4", "linger.ms", 5);
        try (KafkaProducer<byte[], byte[]> producer =
                new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer())) {
            long began = System.nanoTime();
            long beat = 0;
            for (long n = 0; n < total; n++) {
                long due = began + n * 1_000_000_000L / rate;
                long ahead = due - System.nanoTime();
                if (ahead > 500_000) {
                    LockSupport.parkNanos(ahead);
                }
                producer.send(trade(arguments[1], n));
                if (n >= beat * rate) {
                    for (int partition = 0; partition < PARTITIONS; partition++) {
                        producer.send(heartbeat(arguments[1], partition, beat));
                    }
                    beat++;
                }
            }
        }
    }

    private static String now() {
        String text = Instant.now().truncatedTo(ChronoUnit.MICROS).toString();
        int point = text.indexOf('.');
        String fraction = point < 0 ? "" : text.substring(point + 1, text.length() - 1);
        String seconds = point < 0 ? text.substring(0, text.length() - 1) : text.substring(0, point);
        return seconds + "." + (fraction + "000000").substring(0, 6) + "Z";
    }

    private static ProducerRecord<byte[], byte[]> trade(String topic, long n) {
        int pair = (int) (n * 31 % PAIRS);
        String name = "P" + (pair < 10 ? "0" : "") + pair + "USD";
        String text =
                "{\"event_id\":\"live:trade:" + name + ":" + n + "\",\"kind\":\"trade\",\"source_provider\":\"live\","
                        + "\"asset_pair\":\"" + name + "\",\"timestamp\":\"" + now() + "\",\"price\":\"" + (100 + pair)
                        + "." + (10 + n % 90) + "\",\"size\":\"0." + (100_000 + n % 900_000) + "\",\"trade_id\":\"" + n
                        + "\",\"aggressor_side\":\"" + (n % 2 == 0 ? "buy" : "sell") + "\",\"is_mock\":true}";
        return new ProducerRecord<>(topic, pair % PARTITIONS, name.getBytes(), text.getBytes());
    }

    private static ProducerRecord<byte[], byte[]> heartbeat(String topic, int partition, long beat) {
        String text =
                "{\"event_id\":\"live:clock:" + partition + ":" + beat + "\",\"kind\":\"heartbeat\","
                        + "\"source_provider\":\"clock\",\"asset_pair\":\"CLOCK\",\"timestamp\":\"" + now() + "\"}";
        return new ProducerRecord<>(topic, partition, "CLOCK".getBytes(), text.getBytes());
    }
}
