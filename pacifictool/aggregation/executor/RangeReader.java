package pacifictool.aggregation.executor;

import java.time.Duration;
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
import org.apache.spark.util.TaskCompletionListener;

/**
 * Reads ranges of a topic, a range a task: the one loop of the job that sees every record. What becomes of the records
 * is for subclasses to say.
 *
 * <p>java_source.py has this compiled by Janino, the compiler of Spark's own generated code, which takes no lambdas and
 * forgets type arguments; hence the casts.
 */
public abstract class RangeReader implements MapPartitionsFunction<Long, Row> {
    /** The window of a record without time stamp. Public, because Janino looks constants up from outside. */
    public static final long NO_WINDOW = -1;
    /** A time that is in the future whatever the clock says, and from which windows can still be counted. */
    private static final long FAR = 1L << 62;
    /** So long may Kafka keep us waiting for the next record; Spark's own source waits as long. */
    private static final long PATIENCE_NANOS = 120_000_000_000L;
    private static final Duration POLL = Duration.ofSeconds(1);

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
    RangeReader(
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

    /** Where the records of one range go. */
    interface Collector {
        /** Takes a record; a negative time stamp means that it has none. */
        void add(ConsumerRecord<Object, byte[]> record);

        /** Whether it holds so much that it is to be emptied. */
        boolean isFull();

        /** Empties it. */
        Iterator<Row> taken();
    }

    /** A collector for one range. */
    abstract Collector collector();

    final Reading reading() {
        return new Reading(zoneKey, valueKey, minimum, maximum);
    }

    /** The end of the window of a time stamp. */
    final long windowEnd(long stamp) {
        return stamp < 0 ? NO_WINDOW : Math.min(stamp - stamp % windowMs, FAR) + windowMs;
    }

    /** Rows of the range whose number is given. */
    public Iterator<Row> call(Iterator<Long> numbers) {
        if (!numbers.hasNext()) { // Spark's iterators have nothing to give before they were asked.
            return Collections.emptyIterator();
        }
        int number = ((Long) numbers.next()).intValue();
        TopicPartition place = new TopicPartition(topic, partitions[number]);
        Rows rows = new Rows(kafka, place, starts[number], ends[number], collector());
        TaskContext.get().addTaskCompletionListener((TaskCompletionListener) rows);
        return rows;
    }

    /** Polls one range, and gives what the collector has, nearly always all of it at the end. */
    private static final class Rows implements Iterator<Row>, TaskCompletionListener {
        private final TopicPartition place;
        private final long end;
        private final KafkaConsumer<Object, byte[]> consumer;
        private final Collector collector;
        private Iterator<Row> ready = Collections.emptyIterator();
        private long position;

        Rows(Map<String, Object> kafka, TopicPartition place, long start, long end, Collector collector) {
            this.place = place;
            this.position = start;
            this.end = end;
            this.collector = collector;
            this.consumer = new KafkaConsumer(kafka, new ByteBufferDeserializer(), new ByteArrayDeserializer());
            consumer.assign(Collections.singletonList(place));
            consumer.seek(place, start);
        }

        public boolean hasNext() {
            while (!ready.hasNext() && position < end) {
                while (position < end && !collector.isFull()) {
                    poll();
                }
                ready = collector.taken();
            }
            return ready.hasNext();
        }

        public Row next() {
            if (!hasNext()) {
                throw new NoSuchElementException();
            }
            return (Row) ready.next();
        }

        private void poll() {
            long since = System.nanoTime();
            long before = position;
            while (position == before) {
                List<ConsumerRecord<Object, byte[]>> records = consumer.poll(POLL).records(place);
                for (int i = 0; i < records.size(); i++) {
                    ConsumerRecord<Object, byte[]> record = (ConsumerRecord<Object, byte[]>) records.get(i);
                    if (record.offset() < end) {
                        collector.add(record);
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
}
