package pacifictool.analytics.engine;

import java.io.IOException;
import java.util.ArrayDeque;
import java.util.HashMap;
import java.util.Iterator;
import java.util.Map;
import java.util.NoSuchElementException;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.spark.TaskContext;
import org.apache.spark.api.java.function.PairFlatMapFunction;
import org.apache.spark.util.TaskCompletionListener;
import scala.Tuple2;

/**
 * Reads ranges of the topic again, for functions: gives the readings that are wanted, in chunks by the number of their
 * series. Which records count, and at what time, is for RecordClassifier to say, as it is when they are counted.
 */
public final class ReadingsReader implements PairFlatMapFunction<Iterator<Integer>, Integer, byte[]> {
    /** Chunks are given out when all of a task hold this many readings, or one of them this many. */
    private static final int ALL_ROWS = 100_000;
    private static final int CHUNK_ROWS = 10_000;
    /** Of records that were counted it is known that they were not ahead of their arrival. */
    private static final long ANY_ARRIVAL = Long.MAX_VALUE / 4;

    private final Map<String, Object> kafka;
    private final String topic;
    private final RecordRules rules;
    private final AnalyticsSpec[] specs;
    private final int analytics;
    private final long maxSkewMs;
    private final WantedReadings wanted;

    /**
     * @param kafka properties of the consumer
     * @param analytics whose readings are wanted
     */
    public ReadingsReader(
            Map<String, Object> kafka, String topic, RecordRules rules, AnalyticsSpec[] specs, int analytics,
            long maxSkewMs, WantedReadings wanted) {
        this.kafka = new HashMap<String, Object>(kafka);
        this.topic = topic;
        this.rules = rules;
        this.specs = specs;
        this.analytics = analytics;
        this.maxSkewMs = maxSkewMs;
        this.wanted = wanted;
    }

    int ranges() throws IOException {
        return wanted.read().ranges();
    }

    /** @param numbers of ranges, an iterator over Integer; Janino makes no bridge method for a narrower parameter */
    public Iterator<Tuple2<Integer, byte[]>> call(Object numbers) throws IOException {
        wanted.read();
        return new Chunks(((Integer) ((Iterator) numbers).next()).intValue());
    }

    /** Reads on when the next chunk is asked for, so that a task holds only a part of a large range. */
    private final class Chunks implements Iterator<Tuple2<Integer, byte[]>>, TaskCompletionListener {
        private final int number;
        private final TopicRange records;
        private final RecordClassifier classifier =
                new RecordClassifier(rules, specs, new long[] {ANY_ARRIVAL, maxSkewMs, 0});
        private final GroupName name = new GroupName();
        private final HashMap<Integer, ReadingsChunk> open = new HashMap<Integer, ReadingsChunk>();
        private final ArrayDeque<Tuple2<Integer, byte[]>> ready = new ArrayDeque<Tuple2<Integer, byte[]>>();
        private int rows;
        private boolean atEnd;

        Chunks(int number) {
            this.number = number;
            this.records = new TopicRange(
                    kafka, new TopicPartition(topic, wanted.partitions[number]), wanted.starts[number],
                    wanted.ends[number]);
            TaskContext.get().addTaskCompletionListener((TaskCompletionListener) this);
            records.leaveOutWhatIsGone();
        }

        public void onTaskCompletion(TaskContext context) {
            records.close();
        }

        public boolean hasNext() {
            try {
                while (ready.isEmpty() && !atEnd) {
                    ConsumerRecord<Object, byte[]> record = records.next();
                    if (record != null) {
                        take(record);
                    }
                    if (record == null || rows >= ALL_ROWS) {
                        giveAll();
                        atEnd = record == null;
                    }
                }
            } catch (IOException error) {
                throw new java.io.UncheckedIOException(error);
            }
            return !ready.isEmpty();
        }

        public Object next() {
            if (!hasNext()) {
                throw new NoSuchElementException();
            }
            return ready.remove();
        }

        private void take(ConsumerRecord<Object, byte[]> record) throws IOException {
            classifier.classify(record);
            // At which time a record without timestamp was counted is not kept.
            if (!classifier.counts || !classifier.hasTime || wanted.isExcluded(number, record.offset())) {
                return;
            }
            AnalyticsSpec spec = specs[analytics];
            if (wanted.mayWant(classifier.event) && classifier.takes(spec)) {
                name.take(spec.groupBy, classifier.parser);
                int series = wanted.seriesOf(name.toString(), classifier.event);
                if (series >= 0) {
                    add(Integer.valueOf(series), record);
                }
            }
        }

        private void add(Integer series, ConsumerRecord<Object, byte[]> record) throws IOException {
            ReadingsChunk chunk = (ReadingsChunk) open.get(series);
            if (chunk == null) {
                chunk = new ReadingsChunk(series.intValue(), record.partition(), rules);
                open.put(series, chunk);
            }
            chunk.add(classifier.parser, classifier.event, record.offset());
            rows++;
            if (chunk.rows() >= CHUNK_ROWS) {
                open.remove(series);
                give(series, chunk);
            }
        }

        private void giveAll() throws IOException {
            for (Iterator<Map.Entry<Integer, ReadingsChunk>> each = open.entrySet().iterator(); each.hasNext();) {
                Map.Entry<Integer, ReadingsChunk> entry = (Map.Entry<Integer, ReadingsChunk>) each.next();
                give((Integer) entry.getKey(), (ReadingsChunk) entry.getValue());
            }
            open.clear();
        }

        private void give(Integer series, ReadingsChunk chunk) throws IOException {
            ready.add(new Tuple2(series, chunk.written()));
            rows -= chunk.rows();
        }
    }
}
