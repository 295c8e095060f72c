package pacifictool.aggregation.executor;

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.NoSuchElementException;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.TimeoutException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteBufferDeserializer;
import org.apache.spark.TaskContext;
import org.apache.spark.api.java.function.MapPartitionsFunction;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.RowFactory;
import org.apache.spark.util.TaskCompletionListener;

/**
 * Reads ranges of a topic and groups their records by window: the one loop of the job that sees every record.
 *
 * <p>Records that leave no room for doubt are summed by zone. All others are grouped by their value, for pipeline.py to
 * judge. java_source.py has this compiled by Janino, the compiler of Spark's own generated code, which takes no lambdas
 * and forgets type arguments; hence the casts.
 */
public final class RangeSums implements MapPartitionsFunction<Long, Row> {
    /** So long may Kafka keep us waiting for the next record; Spark's own source waits as long. */
    private static final long PATIENCE_NANOS = 120_000_000_000L;
    private static final Duration POLL = Duration.ofSeconds(1);
    /** Groups are handed on, and may come again, when a task holds so many of them or bytes in them. */
    private static final int MOST_GROUPS = 50_000;
    private static final int MOST_BYTES = 8_000_000;

    private final Map<String, Object> kafka;
    private final String topic;
    private final int[] partitions;
    private final long[] starts;
    private final long[] ends;
    private final String zoneKey;
    private final String valueKey;
    private final double minimum;
    private final double maximum;
    private final long windowMs;

    /**
     * @param kafka properties of the consumer
     * @param partitions of range 0, 1, ...
     * @param starts the first offset of each range
     * @param ends the offset after the last of each range
     */
    public RangeSums(
            Map<String, Object> kafka, String topic, int[] partitions, long[] starts, long[] ends,
            String zoneKey, String valueKey, double minimum, double maximum, long windowMs) {
        this.kafka = new HashMap<String, Object>(kafka);
        this.topic = topic;
        this.partitions = partitions;
        this.starts = starts;
        this.ends = ends;
        this.zoneKey = zoneKey;
        this.valueKey = valueKey;
        this.minimum = minimum;
        this.maximum = maximum;
        this.windowMs = windowMs;
    }

    /** Rows of the range whose number is given: window_end, zone, value, records, newest_ms, high, low. */
    public Iterator<Row> call(Iterator<Long> numbers) {
        if (!numbers.hasNext()) { // Spark's iterators have nothing to give before they were asked.
            return Collections.emptyIterator();
        }
        int number = ((Long) numbers.next()).intValue();
        Groups groups = new Groups(new Reading(zoneKey, valueKey, minimum, maximum), windowMs);
        TopicPartition place = new TopicPartition(topic, partitions[number]);
        Reader reader = new Reader(kafka, place, starts[number], ends[number], groups);
        TaskContext.get().addTaskCompletionListener((TaskCompletionListener) reader);
        return reader;
    }

    /** Polls one range and gives its groups, nearly always all of them at the end. */
    private static final class Reader implements Iterator<Row>, TaskCompletionListener {
        private final TopicPartition place;
        private final long end;
        private final KafkaConsumer<Object, byte[]> consumer;
        private final Groups groups;
        private Iterator<Group> ready = Collections.emptyIterator();
        private long position;

        Reader(Map<String, Object> kafka, TopicPartition place, long start, long end, Groups groups) {
            this.place = place;
            this.position = start;
            this.end = end;
            this.groups = groups;
            this.consumer = new KafkaConsumer(kafka, new ByteBufferDeserializer(), new ByteArrayDeserializer());
            consumer.assign(Collections.singletonList(place));
            consumer.seek(place, start);
        }

        public boolean hasNext() {
            while (!ready.hasNext() && position < end) {
                while (position < end && groups.size() < MOST_GROUPS && groups.bytes() < MOST_BYTES) {
                    poll();
                }
                ready = groups.taken();
            }
            return ready.hasNext();
        }

        public Row next() {
            if (!hasNext()) {
                throw new NoSuchElementException();
            }
            return ((Group) ready.next()).row();
        }

        private void poll() {
            long since = System.nanoTime();
            long before = position;
            while (position == before) {
                List<ConsumerRecord<Object, byte[]>> records = consumer.poll(POLL).records(place);
                for (int i = 0; i < records.size(); i++) {
                    ConsumerRecord<Object, byte[]> record = (ConsumerRecord<Object, byte[]>) records.get(i);
                    if (record.offset() < end) {
                        groups.add((byte[]) record.value(), record.timestamp());
                    }
                }
                // Beyond the last record where offsets have gaps: what was aborted, or compacted away.
                position = consumer.position(place);
                if (position == before && System.nanoTime() - since > PATIENCE_NANOS) {
                    throw new TimeoutException(
                            "nothing came of " + place + " from offset " + position + " in 120 seconds");
                }
            }
        }

        public void onTaskCompletion(TaskContext context) {
            consumer.close(Duration.ZERO);
        }
    }

    /** Groups of records that count alike. */
    private static final class Groups {
        private final Reading reading;
        private final long windowMs;
        private final Group probe = new Group();
        private HashMap<Group, Group> groups = new HashMap<Group, Group>();
        private long bytes;

        Groups(Reading reading, long windowMs) {
            this.reading = reading;
            this.windowMs = windowMs;
        }

        int size() {
            return groups.size();
        }

        long bytes() {
            return bytes;
        }

        /** Takes a record; a negative time stamp means that it has none. */
        void add(byte[] value, long stamp) {
            boolean known = reading.of(value);
            long windowEnd = stamp < 0 ? Group.NONE : stamp - stamp % windowMs + windowMs;
            if (known) {
                probe.describe(windowEnd, true, reading.zone, reading.zoneStart, reading.zoneEnd);
            } else {
                probe.describe(windowEnd, false, value, 0, value == null ? 0 : value.length);
            }
            Group group = (Group) groups.get(probe);
            if (group == null) {
                group = probe.copy();
                groups.put(group, group);
                bytes += group.end;
            }
            group.records++;
            group.newest = Math.max(group.newest, stamp);
            if (known) {
                group.high += reading.units >> 32;
                group.low += reading.units & 0xffffffffL;
            }
        }

        Iterator<Group> taken() {
            Iterator<Group> taken = groups.values().iterator();
            groups = new HashMap<Group, Group>();
            bytes = 0;
            return taken;
        }
    }

    /** Records of one window and zone, or of one window and value; equal to others by these, and found by them. */
    private static final class Group {
        static final long NONE = -1;

        private long windowEnd;
        private boolean known;
        private byte[] text;
        private int start;
        private int end;
        private int hash;
        long records;
        long newest = NONE;
        /** Sums of the halves of the values, so that they cannot overflow. */
        long high;
        long low;

        /** The text of a group is the zone when that is known, the value (null for a tombstone) otherwise. */
        void describe(long windowEnd, boolean known, byte[] text, int start, int end) {
            this.windowEnd = windowEnd;
            this.known = known;
            this.text = text;
            this.start = start;
            this.end = end;
            int hash = (int) (windowEnd ^ (windowEnd >>> 32)) * 31 + (known ? 1 : 0);
            for (int i = start; i < end; i++) {
                hash = hash * 31 + text[i];
            }
            this.hash = hash;
        }

        Group copy() {
            Group copy = new Group();
            byte[] kept = text == null ? null : Arrays.copyOfRange(text, start, end);
            copy.describe(windowEnd, known, kept, 0, end - start);
            return copy;
        }

        Row row() {
            return RowFactory.create(new Object[] {
                windowEnd == NONE ? null : Long.valueOf(windowEnd),
                known ? new String(text, start, end - start, StandardCharsets.UTF_8) : null,
                known ? null : text,
                Long.valueOf(records),
                newest == NONE ? null : Long.valueOf(newest),
                known ? Long.valueOf(high) : null,
                known ? Long.valueOf(low) : null,
            });
        }

        public int hashCode() {
            return hash;
        }

        public boolean equals(Object object) {
            Group other = (Group) object;
            if (hash != other.hash || windowEnd != other.windowEnd || known != other.known) {
                return false;
            }
            if (text == null || other.text == null) {
                return text == other.text;
            }
            return Arrays.equals(text, start, end, other.text, other.start, other.end);
        }
    }
}
