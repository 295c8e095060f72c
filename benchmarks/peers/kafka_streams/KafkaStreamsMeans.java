import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StoreQueryParameters;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.errors.InvalidStateStoreException;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.kstream.Windowed;
import org.apache.kafka.streams.state.KeyValueIterator;
import org.apache.kafka.streams.state.QueryableStoreTypes;
import org.apache.kafka.streams.state.ReadOnlyWindowStore;
import org.apache.kafka.streams.state.Stores;

/**
 * Kafka Streams as it is right on a topic in which a zone is in every partition: repartitioned by zone, two threads, a
 * store in memory with a cache before it and a changelog behind it, without which a task that moves loses its sums.
 */
public final class KafkaStreamsMeans {
    private static final Duration GRACE = Duration.ofHours(1);
    private static final JsonFactory JSON = new JsonFactory();

    record Sum(long count, double total) {}

    record Reading(String zone, double value) {}

    public static void main(String[] arguments) throws Exception {
        Peer peer = new Peer(arguments);
        peer.ready();
        for (Peer.Task task : peer.tasks) {
            long began = System.nanoTime();
            String application = task.topic() + "-" + System.currentTimeMillis();
            try (KafkaStreams streams = streams(peer, task, application)) {
                streams.start();
                peer.report(task.records(), began, means(streams, peer, task.records()));
                streams.close(Duration.ofSeconds(20));
                streams.cleanUp();
            }
            try (Admin admin = Admin.create(Map.of("bootstrap.servers", peer.bootstrap))) {
                List<String> own = admin.listTopics().names().get().stream()
                        .filter(name -> name.startsWith(application))
                        .toList();
                admin.deleteTopics(own).all().get();
            }
        }
        System.exit(0);
    }

    private static KafkaStreams streams(Peer peer, Peer.Task task, String application) throws IOException {
        Duration size = Duration.ofMillis(peer.windowMs);
        StreamsBuilder builder = new StreamsBuilder();
        builder.stream(task.topic(), Consumed.with(Serdes.ByteArray(), readings()))
                .map((key, reading) -> KeyValue.pair(reading.zone(), reading.value()))
                .groupByKey(Grouped.with(Serdes.String(), Serdes.Double()))
                .windowedBy(TimeWindows.ofSizeAndGrace(size, GRACE))
                .aggregate(
                        () -> new Sum(0, 0.0),
                        (zone, value, sum) -> new Sum(sum.count() + 1, sum.total() + value),
                        Materialized.<String, Sum>as(
                                        Stores.inMemoryWindowStore("means", GRACE.multipliedBy(2), size, false))
                                .withKeySerde(Serdes.String())
                                .withValueSerde(sums())
                                .withCachingEnabled());
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, application);
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, peer.bootstrap);
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 2);
        settings.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 256L << 20);
        settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 30_000);
        settings.put(StreamsConfig.STATE_DIR_CONFIG, Files.createTempDirectory("bench-streams").toString());
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_POLL_RECORDS_CONFIG), 10_000);
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_PARTITION_FETCH_BYTES_CONFIG), 4 << 20);
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG), 256 << 10);
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.LINGER_MS_CONFIG), 50);
        return new KafkaStreams(builder.build(), settings);
    }

    /** The contents of the store once all records are in it. */
    private static Map<Peer.Place, Peer.Mean> means(KafkaStreams streams, Peer peer, long records)
            throws InterruptedException {
        long known = -1;
        while (true) {
            // The store is read only when the tasks say that they are through: once or twice, not all the time.
            Thread.sleep(known < 0 ? 10 : 50);
            if (streams.state() == KafkaStreams.State.ERROR) {
                throw new IllegalStateException("Kafka Streams stopped; its log says why.");
            }
            if (processed(streams) < 2 * records) {
                continue;
            }
            Map<Peer.Place, Peer.Mean> means = new HashMap<>();
            known = 0;
            try {
                ReadOnlyWindowStore<String, Sum> store = streams.store(
                        StoreQueryParameters.fromNameAndType("means", QueryableStoreTypes.<String, Sum>windowStore()));
                try (KeyValueIterator<Windowed<String>, Sum> found = store.all()) {
                    while (found.hasNext()) {
                        KeyValue<Windowed<String>, Sum> entry = found.next();
                        means.put(
                                new Peer.Place(entry.key.key(), entry.key.window().start() + peer.windowMs),
                                new Peer.Mean(entry.value.count(), entry.value.total() / entry.value.count()));
                        known += entry.value.count();
                    }
                }
            } catch (InvalidStateStoreException moving) {
                continue;
            }
            if (known >= records) {
                return means;
            }
        }
    }

    /** Records that the tasks have processed: each twice, before and after the repartition. */
    private static double processed(KafkaStreams streams) {
        return streams.metrics().values().stream()
                .filter(metric -> metric.metricName().name().equals("process-total")
                        && metric.metricName().group().equals("stream-thread-metrics"))
                .mapToDouble(metric -> (Double) metric.metricValue())
                .sum();
    }

    private static Serde<Reading> readings() {
        return Serdes.serdeFrom(
                (topic, reading) -> {
                    throw new UnsupportedOperationException("Readings are only read.");
                },
                (topic, message) -> {
                    String zone = null;
                    double value = 0.0;
                    try (JsonParser parser = JSON.createParser(message)) {
                        parser.nextToken();
                        while (parser.nextToken() == JsonToken.FIELD_NAME) {
                            String name = parser.currentName();
                            parser.nextToken();
                            if (name.equals("geoZone")) {
                                zone = parser.getText();
                            } else if (name.equals("windSpeed")) {
                                value = parser.getDoubleValue();
                            }
                        }
                    } catch (IOException error) {
                        throw new UncheckedIOException(error);
                    }
                    return new Reading(zone, value);
                });
    }

    private static Serde<Sum> sums() {
        return Serdes.serdeFrom(
                (topic, sum) ->
                        ByteBuffer.allocate(16).putLong(sum.count()).putDouble(sum.total()).array(),
                (topic, bytes) -> {
                    if (bytes == null) {
                        return null;
                    }
                    ByteBuffer buffer = ByteBuffer.wrap(bytes);
                    return new Sum(buffer.getLong(), buffer.getDouble());
                });
    }
}
