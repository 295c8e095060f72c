import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * The limit: Java's consumer and a loop that knows the one form of the records, in two threads. It checks no record,
 * keeps no state and delivers nothing.
 *
 * With `four keys` as the last argument it computes six functions of each of four keys, whose values are whole numbers.
 */
public final class HandWritten {
    static final String[] KEYS = {"windSpeed", "temperature", "humidity", "pressure"};
    private static final byte[] BEFORE_ZONE = "{\"geoZone\":\"".getBytes(StandardCharsets.US_ASCII);
    private static final long UNITS = 1_000_000;

    /** Zones by their bytes: numbers from 0 on. */
    static final class Zones {
        final List<byte[]> names = new ArrayList<>();
        private int[] slots = new int[64];

        int number(byte[] message, int from, int to) {
            int hash = 1;
            for (int i = from; i < to; i++) {
                hash = 31 * hash + message[i];
            }
            hash ^= hash >>> 16;
            for (int slot = hash & slots.length - 1; ; slot = slot + 1 & slots.length - 1) {
                if (slots[slot] == 0) {
                    names.add(Arrays.copyOfRange(message, from, to));
                    slots[slot] = names.size();
                    if (names.size() * 2 > slots.length) {
                        grow();
                    }
                    return names.size() - 1;
                }
                byte[] name = names.get(slots[slot] - 1);
                if (Arrays.equals(name, 0, name.length, message, from, to)) {
                    return slots[slot] - 1;
                }
            }
        }

        private void grow() {
            List<byte[]> all = new ArrayList<>(names);
            slots = new int[slots.length * 4];
            names.clear();
            for (byte[] name : all) {
                number(name, 0, name.length);
            }
        }
    }

    /** Count, sum, sum of squares, least and greatest of each key, of the zones of one window. */
    static final class Window {
        private final int width;
        long[] sums = new long[0];

        Window(int keys, boolean all) {
            width = all ? keys * 5 : 2;
        }

        int place(int zone) {
            int place = zone * width;
            if (place >= sums.length) {
                sums = Arrays.copyOf(sums, Math.max(64 * width, 2 * place + width));
            }
            return place;
        }
    }

    /** Some partitions of a topic, read by one thread. */
    static final class Reader implements Runnable {
        final Zones zones = new Zones();
        final Map<Long, Window> windows = new HashMap<>();
        private final Peer peer;
        private final String topic;
        private final int part;
        private final boolean all;
        private long end = -1;
        private Window window;
        private int at;

        Reader(Peer peer, String topic, int part, boolean all) {
            this.peer = peer;
            this.topic = topic;
            this.part = part;
            this.all = all;
        }

        @Override
        public void run() {
            Properties settings = new Properties();
            settings.put(ConsumerConfig.BOOTSTRAP_SERVERS_CONFIG, peer.bootstrap);
            settings.put(ConsumerConfig.MAX_POLL_RECORDS_CONFIG, 10_000);
            settings.put(ConsumerConfig.MAX_PARTITION_FETCH_BYTES_CONFIG, 4 << 20);
            try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(
                    settings, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
                List<TopicPartition> own = consumer.partitionsFor(topic).stream()
                        .filter(each -> each.partition() % 2 == part)
                        .map(each -> new TopicPartition(topic, each.partition()))
                        .toList();
                consumer.assign(own);
                consumer.seekToBeginning(own);
                long left = consumer.endOffsets(own).values().stream().mapToLong(Long::longValue).sum();
                while (left > 0) {
                    for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(100))) {
                        add(record.value(), record.timestamp());
                        left--;
                    }
                }
            }
        }

        private void add(byte[] message, long timestampMs) {
            int from = BEFORE_ZONE.length;
            int to = from;
            while (message[to] != '"') {
                to++;
            }
            int zone = zones.number(message, from, to);
            long place = peer.endOf(timestampMs);
            if (place != end) {
                end = place;
                window = windows.computeIfAbsent(place, none -> new Window(KEYS.length, all));
            }
            int base = window.place(zone);
            long[] sums = window.sums;
            at = to;
            if (!all) {
                sums[base]++;
                sums[base + 1] += number(message);
                return;
            }
            for (int key = 0; key < KEYS.length && at < message.length - 1; key++, base += 5) {
                long units = number(message);
                boolean first = sums[base]++ == 0;
                sums[base + 1] += units;
                long whole = units / UNITS;
                sums[base + 2] += whole * whole;
                sums[base + 3] = first ? units : Math.min(sums[base + 3], units);
                sums[base + 4] = first ? units : Math.max(sums[base + 4], units);
            }
        }

        /** The number after the next colon, in millionths. */
        private long number(byte[] message) {
            int i = at;
            while (message[i] != ':') {
                i++;
            }
            long value = 0;
            int decimals = -1;
            for (i++; message[i] != '}' && message[i] != ','; i++) {
                if (message[i] == '.') {
                    decimals = 0;
                } else if (message[i] != ' ') {
                    value = value * 10 + message[i] - '0';
                    decimals += decimals < 0 ? 0 : 1;
                }
            }
            at = i;
            for (int digit = Math.max(decimals, 0); digit < 6; digit++) {
                value *= 10;
            }
            return value;
        }
    }

    public static void main(String[] arguments) throws InterruptedException {
        boolean all = arguments[arguments.length - 1].equals("four keys");
        Peer peer = new Peer(all ? Arrays.copyOf(arguments, arguments.length - 1) : arguments);
        peer.ready();
        for (Peer.Task task : peer.tasks) {
            long began = System.nanoTime();
            List<Reader> readers = List.of(
                    new Reader(peer, task.topic(), 0, all), new Reader(peer, task.topic(), 1, all));
            List<Thread> threads = readers.stream().map(Thread::new).toList();
            threads.forEach(Thread::start);
            for (Thread thread : threads) {
                thread.join();
            }
            Map<Peer.Place, long[]> sums = new HashMap<>();
            for (Reader reader : readers) {
                merge(reader, all ? KEYS.length * 5 : 2, sums);
            }
            peer.report(task.records(), began, all ? functions(sums) : means(sums));
        }
    }

    private static void merge(Reader reader, int width, Map<Peer.Place, long[]> into) {
        String[] zones = new String[reader.zones.names.size()];
        for (int zone = 0; zone < zones.length; zone++) {
            zones[zone] = new String(reader.zones.names.get(zone), StandardCharsets.UTF_8);
        }
        reader.windows.forEach((end, window) -> {
            for (int zone = 0; zone < zones.length && zone * width < window.sums.length; zone++) {
                int base = zone * width;
                if (window.sums[base] == 0) {
                    continue;
                }
                long[] part = Arrays.copyOfRange(window.sums, base, base + width);
                into.merge(new Peer.Place(zones[zone], end), part, HandWritten::joined);
            }
        });
    }

    private static long[] joined(long[] one, long[] other) {
        for (int i = 0; i < one.length; i++) {
            int kind = one.length == 2 ? i : i % 5;
            if (kind < 3) {
                one[i] += other[i];
            } else if (kind == 3) {
                one[i] = Math.min(one[i], other[i]);
            } else {
                one[i] = Math.max(one[i], other[i]);
            }
        }
        return one;
    }

    private static Map<Peer.Place, Peer.Mean> means(Map<Peer.Place, long[]> sums) {
        Map<Peer.Place, Peer.Mean> means = new HashMap<>(sums.size() * 2);
        sums.forEach((place, sum) ->
                means.put(place, new Peer.Mean(sum[0], (double) sum[1] / ((double) UNITS * sum[0]))));
        return means;
    }

    /** Each function as a place of its own: "Zone A mean(windSpeed)". */
    private static Map<Peer.Place, Peer.Mean> functions(Map<Peer.Place, long[]> sums) {
        Map<Peer.Place, Peer.Mean> found = new HashMap<>();
        sums.forEach((place, sum) -> {
            for (int key = 0; key < KEYS.length; key++) {
                int base = key * 5;
                long count = sum[base];
                if (count == 0) {
                    continue;
                }
                double total = (double) sum[base + 1] / UNITS;
                double mean = total / count;
                double[] values = {
                    count, total, mean, (double) sum[base + 3] / UNITS, (double) sum[base + 4] / UNITS,
                    Math.sqrt((sum[base + 2] - total * total / count) / (count - 1))
                };
                String[] names = {"count", "sum", "mean", "min", "max", "stddev"};
                for (int i = 0; i < names.length; i++) {
                    String name = place.zone() + " " + names[i] + "(" + KEYS[key] + ")";
                    found.put(new Peer.Place(name, place.endMs()), new Peer.Mean(count, values[i]));
                }
            }
        });
        return found;
    }
}
