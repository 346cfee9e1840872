package ticklake.bench;

import java.io.BufferedInputStream;
import java.io.InputStream;
import java.util.Map;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** Lines "partition TAB key TAB value" from standard input into a topic: a backlog in seconds. */
public final class Load {

    private Load() {}

    public static void main(String[] arguments) throws Exception {
        Map<String, Object> settings =
                Map.of(
                        "bootstrap.servers", arguments[0],
                        "compression.type", "lz4",
                        "linger.ms", 50,
                        "batch.size", 256 * 1024);
        InputStream in = new BufferedInputStream(System.in, 1 << 20);
        byte[] line = new byte[1 << 16];
        try (KafkaProducer<byte[], byte[]> producer =
                new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer())) {
            int length = 0;
            for (int b = in.read(); b >= 0; b = in.read()) {
                if (b == '\n') {
                    send(producer, arguments[1], new String(line, 0, length, "UTF-8").split("\t", 3));
                    length = 0;
                } else {
                    line[length++] = (byte) b;
                }
            }
        }
    }

    private static void send(KafkaProducer<byte[], byte[]> producer, String topic, String[] parts) {
        producer.send(
                new ProducerRecord<>(
                        topic, Integer.valueOf(parts[0]), parts[1].getBytes(), parts[2].getBytes()),
                (sent, error) -> {
                    if (error != null) {
                        error.printStackTrace();
                        Runtime.getRuntime().halt(1);
                    }
                });
    }
}
