package pacifictool.analytics.engine;

import java.io.ByteArrayOutputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.spark.api.java.function.FlatMapFunction;

/**
 * What each task of a batch does: reads ranges of partitions one after the other, classifies every record once, and gives
 * the partial aggregates and the invalid records of all of them. It stops before the end of a range of which it holds as
 * much as it may.
 *
 * <p>java_source.py has this compiled by Janino, the compiler of Spark's own generated code, which takes no lambdas and
 * forgets type arguments; hence the casts.
 */
public final class PartitionReader implements FlatMapFunction<Iterator<int[]>, byte[]> {
    private final Map<String, Object> kafka;
    private final String topic;
    private final int[] partitions;
    private final long[] starts;
    private final long[] ends;
    private final RecordRules rules;
    private final AnalyticsSpec[] specs;
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
     * @param limits how many groups, invalid records, and bytes of both a task may hold of a range
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
    }

    PartialAggregates empty() {
        return new PartialAggregates(specs);
    }

    /**
     * Reads the ranges whose numbers are given, of a partition in their order. Gives how far each was read, but for those
     * behind one of the same partition that was not read to its end, and what was found.
     *
     * @param tasks an iterator over one int[]; Janino makes no bridge method for a narrower parameter
     */
    public Iterator<byte[]> call(Object tasks) throws IOException {
        int[] numbers = (int[]) ((Iterator) tasks).next();
        PartialAggregates found = new PartialAggregates(specs);
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        DataOutputStream heads = new DataOutputStream(bytes);
        ByteArrayOutputStream spans = new ByteArrayOutputStream();
        int read = 0;
        int partitionStoppedEarly = -1;
        for (int i = 0; i < numbers.length; i++) {
            int number = numbers[i];
            if (partitions[number] == partitionStoppedEarly) {
                continue;
            }
            TopicRange records =
                    new TopicRange(kafka, new TopicPartition(topic, partitions[number]), starts[number], ends[number]);
            Range range = new Range(found);
            try {
                range.read(records);
            } finally {
                records.close();
            }
            boolean stoppedEarly = records.position() < ends[number];
            partitionStoppedEarly = stoppedEarly ? partitions[number] : -1;
            heads.writeInt(partitions[number]);
            heads.writeLong(starts[number]);
            heads.writeLong(records.position());
            heads.writeBoolean(stoppedEarly);
            heads.writeLong(range.newest);
            heads.writeLong(range.withoutTimestamp);
            heads.writeLong(range.valid);
            range.writeSpans(new DataOutputStream(spans), partitions[number]);
            read++;
        }
        ByteArrayOutputStream whole = new ByteArrayOutputStream();
        DataOutputStream out = new DataOutputStream(whole);
        out.writeInt(read);
        bytes.writeTo(out);
        found.write(out);
        spans.writeTo(out);
        return Collections.singletonList(whole.toByteArray()).iterator();
    }

    private final class Range {
        private final RecordClassifier classifier = new RecordClassifier(rules, specs, context);
        private final PartialAggregates found;
        private final long[] slideStarts = new long[specs.length];
        /** By analytics: of the slide that begins there, the first offset and the one after the last. */
        private final long[][] spans = new long[specs.length][];
        /** The same of all slides, by their ends. */
        private final List<HashMap<Long, long[]>> allSpans = new ArrayList<HashMap<Long, long[]>>();
        /** The newest event time of a record that counts. */
        private long newest = -1;
        private long withoutTimestamp;
        /** Records without any fault. */
        private long valid;

        Range(PartialAggregates found) {
            this.found = found;
            found.beginRange();
            for (int i = 0; i < specs.length; i++) {
                allSpans.add(new HashMap<Long, long[]>());
            }
        }

        void read(TopicRange records) {
            while (!isFull()) {
                ConsumerRecord<Object, byte[]> record = records.next();
                if (record == null) {
                    return;
                }
                int reason = add(record);
                if (reason == Reason.VALID) {
                    valid++;
                } else {
                    byte[] value = (byte[]) record.value();
                    found.addInvalid(record.partition(), record.offset(), record.timestamp(), reason, value);
                }
            }
        }

        private boolean isFull() {
            return found.groupsOfRange() >= limits[0] || found.invalidOfRange() >= limits[1]
                    || found.bytesOfRange() >= limits[2];
        }

        /** Counts a record wherever it can be. Returns the first reason why something of it cannot. */
        private int add(ConsumerRecord<Object, byte[]> record) {
            classifier.classify(record);
            int reason = classifier.reason;
            long event = classifier.event;
            boolean counts = false;
            for (int i = 0; classifier.counts && i < specs.length; i++) {
                AnalyticsSpec spec = specs[i];
                if (classifier.takes(spec)) {
                    // Most records are of the same slide as the one before.
                    if (event < slideStarts[i] || event >= slideStarts[i] + spec.slideMs || spans[i] == null) {
                        slideStarts[i] = event - event % spec.slideMs;
                        spans[i] = span(i, slideStarts[i] + spec.slideMs);
                    }
                    long slideStart = slideStarts[i];
                    if (slideStart + spec.windowMs > closedUntilMs[i]) {
                        found.add(
                                i, slideStart + spec.slideMs, classifier.parser, event, record.partition(),
                                record.offset());
                        spans[i][0] = Math.min(spans[i][0], record.offset());
                        spans[i][1] = record.offset() + 1;
                        counts = true;
                    } else if (reason == Reason.VALID) {
                        reason = Reason.TOO_LATE | i << Reason.COLUMN_BIT;
                    }
                }
            }
            if (counts) {
                newest = Math.max(newest, classifier.seen);
                withoutTimestamp += classifier.hasTime ? 0 : 1;
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
        void writeSpans(DataOutputStream out, int partition) throws IOException {
            for (int i = 0; i < specs.length; i++) {
                HashMap<Long, long[]> known = (HashMap<Long, long[]>) allSpans.get(i);
                for (Iterator<Map.Entry<Long, long[]>> each = known.entrySet().iterator(); each.hasNext();) {
                    Map.Entry<Long, long[]> entry = (Map.Entry<Long, long[]>) each.next();
                    long[] span = (long[]) entry.getValue();
                    if (span[1] > 0) {
                        out.writeInt(i);
                        out.writeInt(partition);
                        out.writeLong(((Long) entry.getKey()).longValue());
                        out.writeLong(span[0]);
                        out.writeLong(span[1]);
                    }
                }
            }
        }
    }
}
