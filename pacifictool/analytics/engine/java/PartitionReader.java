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
 * What each task of a batch does: reads one range of one partition, classifies every record once, and gives the partial
 * aggregates and the invalid records. It stops before the end of its range when it holds as much as a task may.
 *
 * <p>java_source.py has this compiled by Janino, the compiler of Spark's own generated code, which takes no lambdas and
 * forgets type arguments; hence the casts.
 */
public final class PartitionReader implements FlatMapFunction<Iterator<Integer>, byte[]> {
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
        TopicRange records =
                new TopicRange(kafka, new TopicPartition(topic, partitions[number]), starts[number], ends[number]);
        Range range = new Range();
        try {
            range.read(records);
        } finally {
            records.close();
        }
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        DataOutputStream out = new DataOutputStream(bytes);
        out.writeInt(partitions[number]);
        out.writeLong(starts[number]);
        out.writeLong(records.position());
        out.writeBoolean(records.position() < ends[number]);
        out.writeLong(range.newest);
        out.writeLong(range.withoutTimestamp);
        out.writeLong(range.valid);
        range.found.write(out);
        range.writeSpans(out, partitions[number]);
        return Collections.singletonList(bytes.toByteArray()).iterator();
    }

    private final class Range {
        private final RecordClassifier classifier = new RecordClassifier(rules, specs, context);
        private final PartialAggregates found = new PartialAggregates(specs);
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

        Range() {
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
            return found.groups() >= limits[0] || found.invalidRecords() >= limits[1] || found.bytes() >= limits[2];
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
