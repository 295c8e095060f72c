package pacifictool.aggregation.executor;

import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.RowFactory;

/**
 * Finds the records of ranges that may be rejects: what is not beyond doubt, and what lies outside the windows that are
 * open. Rows: partition, offset, value, stamp_ms, window_end.
 */
public final class RangeDoubts extends RangeReader {
    /** Records are handed on when there are so many of them, or bytes in them. */
    private static final int MOST_RECORDS = 10_000;
    private static final int MOST_BYTES = 8_000_000;

    private final long sealedUntil;
    private final long lastWindowEnd;
    private final long unstampedWindowEnd;

    /**
     * @param sealedUntil windows that end at or before this are closed
     * @param lastWindowEnd windows that end later begin in the future
     * @param unstampedWindowEnd the window of records without time stamp
     */
    public RangeDoubts(
            Map<String, Object> kafka, String topic, int[] partitions, long[] starts, long[] ends,
            String zoneKey, String valueKey, double minimum, double maximum, long windowMs,
            long sealedUntil, long lastWindowEnd, long unstampedWindowEnd) {
        super(kafka, topic, partitions, starts, ends, zoneKey, valueKey, minimum, maximum, windowMs);
        this.sealedUntil = sealedUntil;
        this.lastWindowEnd = lastWindowEnd;
        this.unstampedWindowEnd = unstampedWindowEnd;
    }

    Collector collector() {
        return new Doubts();
    }

    private final class Doubts implements Collector {
        private final Reading reading = reading();
        private List<Row> rows = new ArrayList<Row>();
        private long bytes;

        public void add(ConsumerRecord<Object, byte[]> record) {
            byte[] value = (byte[]) record.value();
            long stamp = record.timestamp();
            long windowEnd = stamp < 0 ? unstampedWindowEnd : windowEnd(stamp);
            if (windowEnd > sealedUntil && windowEnd <= lastWindowEnd && reading.of(value)) {
                return;
            }
            rows.add(RowFactory.create(new Object[] {
                Integer.valueOf(record.partition()),
                Long.valueOf(record.offset()),
                value,
                stamp < 0 ? null : Long.valueOf(stamp),
                Long.valueOf(windowEnd),
            }));
            bytes += value == null ? 0 : value.length;
        }

        public boolean isFull() {
            return rows.size() >= MOST_RECORDS || bytes >= MOST_BYTES;
        }

        public Iterator<Row> taken() {
            Iterator<Row> taken = rows.iterator();
            rows = new ArrayList<Row>();
            bytes = 0;
            return taken;
        }
    }
}
