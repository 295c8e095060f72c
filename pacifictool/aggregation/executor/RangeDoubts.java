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
 * open. Rows: partition, offset, value, stamp_ms.
 */
public final class RangeDoubts extends RangeReader {
    /** Records are handed on when there are so many of them, or bytes in them. */
    private static final int MOST_RECORDS = 10_000;
    private static final int MOST_BYTES = 8_000_000;

    private final String zoneKey;
    private final String valueKey;
    private final double minimum;
    private final double maximum;
    private final long earliestMs;
    private final long latestMs;
    private final boolean unstampedInTime;

    /** Records with time stamps from `earliestMs` to before `latestMs` are in time. */
    public RangeDoubts(
            Map<String, Object> kafka, String topic, int[] partitions, long[] starts, long[] ends,
            String zoneKey, String valueKey, double minimum, double maximum, long earliestMs, long latestMs,
            boolean unstampedInTime) {
        super(kafka, topic, partitions, starts, ends);
        this.zoneKey = zoneKey;
        this.valueKey = valueKey;
        this.minimum = minimum;
        this.maximum = maximum;
        this.earliestMs = earliestMs;
        this.latestMs = latestMs;
        this.unstampedInTime = unstampedInTime;
    }

    Collector collector() {
        return new Doubts();
    }

    private boolean isInTime(long stamp) {
        return stamp < 0 ? unstampedInTime : stamp >= earliestMs && stamp < latestMs;
    }

    private final class Doubts implements Collector {
        private final Reading reading = new Reading(zoneKey, valueKey, minimum, maximum);
        private List<Row> rows = new ArrayList<Row>();
        private long bytes;

        public void add(ConsumerRecord<Object, byte[]> record) {
            byte[] value = (byte[]) record.value();
            long stamp = record.timestamp();
            if (isInTime(stamp) && reading.of(value)) {
                return;
            }
            rows.add(RowFactory.create(new Object[] {
                Integer.valueOf(record.partition()),
                Long.valueOf(record.offset()),
                value,
                stamp < 0 ? null : Long.valueOf(stamp),
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
