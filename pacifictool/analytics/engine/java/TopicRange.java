package pacifictool.analytics.engine;

import java.time.Duration;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.TimeoutException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteBufferDeserializer;
import org.apache.spark.TaskContext;
import org.apache.spark.TaskKilledException;

/** The records of a range of one partition, one after the other, each once. */
public final class TopicRange {
    /**
     * How long Kafka may take to bring the next record: a request that times out, after Kafka's own 30 seconds, is
     * repeated once. Then the batch fails, is reported, and tried again; nobody should wait for longer to hear of it.
     */
    private static final int TIMEOUT_SECONDS = 45;

    private static final long TIMEOUT_NANOS = TIMEOUT_SECONDS * 1_000_000_000L;
    private static final Duration POLL = Duration.ofSeconds(1);

    private final KafkaConsumer<Object, byte[]> consumer;
    private final TopicPartition place;
    private final long end;
    private long position;
    private List<ConsumerRecord<Object, byte[]>> records = Collections.emptyList();
    private int at;

    /** @param kafka properties of the consumer */
    TopicRange(Map<String, Object> kafka, TopicPartition place, long start, long end) {
        this.place = place;
        this.position = start;
        this.end = end;
        this.consumer = new KafkaConsumer(kafka, new ByteBufferDeserializer(), new ByteArrayDeserializer());
        consumer.assign(Collections.singletonList(place));
        consumer.seek(place, start);
    }

    int partition() {
        return place.partition();
    }

    /** Up to where the range was read: behind the last record, and behind gaps of offsets at the end of the range. */
    long position() {
        return position;
    }

    /** Begins with the first record that Kafka still holds; the range may be empty then. */
    void leaveOutWhatIsGone() {
        Map<TopicPartition, Long> first = consumer.beginningOffsets(Collections.singletonList(place));
        long oldest = ((Long) first.get(place)).longValue();
        if (oldest > position) {
            position = Math.min(oldest, end);
            consumer.seek(place, position);
        }
    }

    /** The next record; null at the end of the range. */
    ConsumerRecord<Object, byte[]> next() {
        while (true) {
            while (at < records.size()) {
                ConsumerRecord<Object, byte[]> record = (ConsumerRecord<Object, byte[]>) records.get(at++);
                if (record.offset() < end) {
                    position = record.offset() + 1;
                    return record;
                }
            }
            if (!records.isEmpty()) {
                records = Collections.emptyList();
                skipGap();
            }
            if (position >= end) {
                return null;
            }
            poll();
        }
    }

    /** Waits for records, or for the end of a gap. */
    private void poll() {
        long since = System.nanoTime();
        long before = position;
        at = 0;
        while (records.isEmpty() && position == before) {
            TaskContext task = TaskContext.get(); // none while Spark starts
            if (task != null && task.isInterrupted()) {
                throw new TaskKilledException("the batch was cancelled");
            }
            if (System.nanoTime() - since > TIMEOUT_NANOS) {
                throw new TimeoutException(
                        "no record of " + place + " from offset " + position + " in " + TIMEOUT_SECONDS + " seconds");
            }
            records = consumer.poll(POLL).records(place);
            if (records.isEmpty()) {
                skipGap();
            }
        }
    }

    /** Offsets have gaps: what was aborted, or compacted away. */
    private void skipGap() {
        position = Math.max(position, Math.min(consumer.position(place), end));
    }

    void close() {
        consumer.close(Duration.ZERO);
    }
}
