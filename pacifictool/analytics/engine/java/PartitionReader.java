package pacifictool.analytics.engine;

import java.io.ByteArrayOutputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.TimeoutException;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteBufferDeserializer;
import org.apache.spark.TaskContext;
import org.apache.spark.TaskKilledException;
import org.apache.spark.api.java.function.FlatMapFunction;

/**
 * What each task of a batch does: reads one range of one partition, classifies every record once, and gives the partial
 * aggregates and the invalid records. It stops before the end of its range when it holds as much as a task may.
 *
 * <p>java_source.py has this compiled by Janino, the compiler of Spark's own generated code, which takes no lambdas and
 * forgets type arguments; hence the casts.
 */
public final class PartitionReader implements FlatMapFunction<Iterator<Integer>, byte[]> {
    /** How long Kafka may take to bring the next record; Spark's own source waits as long. */
    private static final long TIMEOUT_NANOS = 120_000_000_000L;
    private static final Duration POLL = Duration.ofSeconds(1);

    private final Map<String, Object> kafka;
    private final String topic;
    private final int[] partitions;
    private final long[] starts;
    private final long[] ends;
    private final RecordRules rules;
    private final AnalyticsSpec[] specs;
    private final boolean[] groups;
    private final long[] closedUntilMs;
    private final long[] context;
    private final int[] limits;

    /**
     * @param kafka properties of the consumer
     * @param partitions of range 0, 1, ...
     * @param starts the first offset of each range
     * @param ends the offset after the last of each range
     * @param closedUntilMs by analytics: windows that end at or before it take no more records
     * @param context milliseconds: records arrived by the first, since the epoch, at the latest; how far their times may
     *     be ahead of that; records without timestamp count at the third
     * @param limits how many groups, invalid records, and bytes of both a task may hold
     */
    public PartitionReader(
            Map<String, Object> kafka, String topic, int[] partitions, long[] starts, long[] ends,
            RecordRules rules, AnalyticsSpec[] specs, long[] closedUntilMs, long[] context, int[] limits) {
        this.kafka = new HashMap<String, Object>(kafka);
        this.topic = topic;
        this.partitions = partitions;
        this.starts = starts;
        this.ends = ends;
        this.rules = rules;
        this.specs = specs;
        this.closedUntilMs = closedUntilMs;
        this.context = context;
        this.limits = limits;
        this.groups = new boolean[rules.textKeys.length];
        for (int i = 0; i < specs.length; i++) {
            for (int column = 0; column < specs[i].groupBy.length; column++) {
                groups[specs[i].groupBy[column]] = true;
            }
        }
    }

    int ranges() {
        return partitions.length;
    }

    PartialAggregates empty() {
        return new PartialAggregates(specs);
    }

    /**
     * Gives how far the one range whose number is given was read, and what was found.
     *
     * @param numbers an iterator over Integer; Janino makes no bridge method for a narrower parameter
     */
    public Iterator<byte[]> call(Object numbers) throws IOException {
        int number = ((Integer) ((Iterator) numbers).next()).intValue();
        Range range = new Range(new TopicPartition(topic, partitions[number]), starts[number], ends[number]);
        KafkaConsumer<Object, byte[]> consumer =
                new KafkaConsumer(kafka, new ByteBufferDeserializer(), new ByteArrayDeserializer());
        try {
            range.read(consumer);
        } finally {
            consumer.close(Duration.ZERO);
        }
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        DataOutputStream out = new DataOutputStream(bytes);
        out.writeInt(range.place.partition());
        out.writeLong(starts[number]);
        out.writeLong(range.position);
        out.writeBoolean(range.position < ends[number]);
        out.writeLong(range.newest);
        out.writeLong(range.withoutTimestamp);
        out.writeLong(range.valid);
        range.found.write(out);
        range.writeSpans(out);
        return Collections.singletonList(bytes.toByteArray()).iterator();
    }

    private final class Range {
        private final TopicPartition place;
        private final long end;
        private final RecordParser parser = new RecordParser(rules);
        private final PartialAggregates found = new PartialAggregates(specs);
        private final long[] slideStarts = new long[specs.length];
        /** By analytics: of the slide that begins there, the first offset and the one after the last. */
        private final long[][] spans = new long[specs.length][];
        /** The same of all slides, by their ends. */
        private final List<HashMap<Long, long[]>> allSpans = new ArrayList<HashMap<Long, long[]>>();
        private long position;
        /** The newest event time of a record that counts. */
        private long newest = -1;
        private long withoutTimestamp;
        /** Records without any fault. */
        private long valid;

        Range(TopicPartition place, long start, long end) {
            this.place = place;
            this.position = start;
            this.end = end;
            for (int i = 0; i < specs.length; i++) {
                allSpans.add(new HashMap<Long, long[]>());
            }
        }

        void read(KafkaConsumer<Object, byte[]> consumer) {
            consumer.assign(Collections.singletonList(place));
            consumer.seek(place, position);
            long since = System.nanoTime();
            while (position < end && !isFull()) {
                if (TaskContext.get().isInterrupted()) {
                    throw new TaskKilledException("the batch was cancelled");
                }
                long before = position;
                List<ConsumerRecord<Object, byte[]>> records = consumer.poll(POLL).records(place);
                for (int i = 0; i < records.size() && !isFull(); i++) {
                    ConsumerRecord<Object, byte[]> record = (ConsumerRecord<Object, byte[]>) records.get(i);
                    if (record.offset() < end) {
                        add(record);
                        position = record.offset() + 1;
                    }
                }
                if (!isFull()) {
                    // Beyond the last record where offsets have gaps: what was aborted, or compacted away.
                    position = Math.min(consumer.position(place), end);
                }
                if (position > before) {
                    since = System.nanoTime();
                } else if (System.nanoTime() - since > TIMEOUT_NANOS) {
                    throw new TimeoutException(
                            "no record of " + place + " from offset " + position + " in 120 seconds");
                }
            }
        }

        private boolean isFull() {
            return found.groups() >= limits[0] || found.invalidRecords() >= limits[1] || found.bytes() >= limits[2];
        }

        private void add(ConsumerRecord<Object, byte[]> record) {
            byte[] value = (byte[]) record.value();
            int reason = parser.parse(value);
            if (reason == Reason.VALID) {
                reason = count(record);
            }
            if (reason == Reason.VALID) {
                valid++;
            } else {
                found.addInvalid(record.partition(), record.offset(), record.timestamp(), reason, value);
            }
        }

        /** Counts a record that is an object wherever it can be. Returns the first reason why something of it cannot. */
        private int count(ConsumerRecord<Object, byte[]> record) {
            boolean complete = parser.complete;
            boolean hasNumber = complete || hasNumber();
            int reason = complete ? Reason.VALID : firstFault(hasNumber);
            long timestamp = record.timestamp();
            // The broker's own timestamps are times of arrival, on the only clock that counts.
            boolean arrivalIsKnown = record.timestampType() == TimestampType.LOG_APPEND_TIME;
            long arrival = arrivalIsKnown ? timestamp : context[0];
            long event = timestamp >= 0 ? timestamp : context[2];
            if (rules.timeKey != null) {
                if (parser.timeState != Reason.VALID) {
                    return reason == Reason.VALID ? parser.timeState : reason;
                }
                event = parser.time;
            }
            boolean trusted = arrivalIsKnown && rules.timeKey == null;
            if (!trusted && event > arrival + context[1]) {
                return reason == Reason.VALID ? Reason.AHEAD_OF_ARRIVAL : reason;
            }
            boolean counts = false;
            for (int i = 0; hasNumber && i < specs.length; i++) {
                AnalyticsSpec spec = specs[i];
                if (complete || spec.takes(parser)) {
                    // Most records are of the same slide as the one before.
                    if (event < slideStarts[i] || event >= slideStarts[i] + spec.slideMs || spans[i] == null) {
                        slideStarts[i] = event - event % spec.slideMs;
                        spans[i] = span(i, slideStarts[i] + spec.slideMs);
                    }
                    long slideStart = slideStarts[i];
                    if (slideStart + spec.windowMs > closedUntilMs[i]) {
                        found.add(i, slideStart + spec.slideMs, parser, event, record.partition(), record.offset());
                        spans[i][0] = Math.min(spans[i][0], record.offset());
                        spans[i][1] = record.offset() + 1;
                        counts = true;
                    } else if (reason == Reason.VALID) {
                        reason = Reason.TOO_LATE | i << Reason.COLUMN_BIT;
                    }
                }
            }
            if (counts) {
                newest = Math.max(newest, trusted ? event : Math.min(event, arrival));
                withoutTimestamp += timestamp >= 0 || rules.timeKey != null ? 0 : 1;
            }
            return reason;
        }

        private long[] span(int analytics, long slideEnd) {
            HashMap<Long, long[]> known = (HashMap<Long, long[]>) allSpans.get(analytics);
            long[] span = (long[]) known.get(Long.valueOf(slideEnd));
            if (span == null) {
                span = new long[] {Long.MAX_VALUE, 0};
                known.put(Long.valueOf(slideEnd), span);
            }
            return span;
        }

        /** Where the records of each slide lie in the partition. */
        void writeSpans(DataOutputStream out) throws IOException {
            for (int i = 0; i < specs.length; i++) {
                HashMap<Long, long[]> known = (HashMap<Long, long[]>) allSpans.get(i);
                for (Iterator<Map.Entry<Long, long[]>> each = known.entrySet().iterator(); each.hasNext();) {
                    Map.Entry<Long, long[]> entry = (Map.Entry<Long, long[]>) each.next();
                    long[] span = (long[]) entry.getValue();
                    if (span[1] > 0) {
                        out.writeInt(i);
                        out.writeInt(place.partition());
                        out.writeLong(((Long) entry.getKey()).longValue());
                        out.writeLong(span[0]);
                        out.writeLong(span[1]);
                    }
                }
            }
        }

        private int firstFault(boolean hasNumber) {
            for (int i = 0; i < groups.length; i++) {
                if (groups[i] && parser.textState[i] != Reason.VALID) {
                    return parser.textState[i] | i << Reason.COLUMN_BIT;
                }
            }
            for (int i = 0; i < parser.numberState.length; i++) {
                int state = parser.numberState[i];
                if (state != Reason.VALID && state != Reason.NO_NUMBER) {
                    return state | i << Reason.COLUMN_BIT;
                }
            }
            return hasNumber ? Reason.VALID : Reason.NO_NUMBER;
        }

        private boolean hasNumber() {
            for (int i = 0; i < parser.numberState.length; i++) {
                if (parser.numberState[i] == Reason.VALID) {
                    return true;
                }
            }
            return false;
        }
    }
}
