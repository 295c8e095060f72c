package pacifictool.aggregation.executor;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Iterator;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.RowFactory;

/**
 * Groups the records of ranges by window: those that leave no room for doubt are summed by zone, all others are grouped
 * by their value, for pipeline.py to judge. Rows: window_end, zone, value, records, newest_ms, high, low.
 */
public final class RangeSums extends RangeReader {
    /** Groups are handed on, and may come again, when a task holds so many of them or bytes in them. */
    private static final int MOST_GROUPS = 50_000;
    private static final int MOST_BYTES = 8_000_000;

    public RangeSums(
            Map<String, Object> kafka, String topic, int[] partitions, long[] starts, long[] ends,
            String zoneKey, String valueKey, double minimum, double maximum, long windowMs) {
        super(kafka, topic, partitions, starts, ends, zoneKey, valueKey, minimum, maximum, windowMs);
    }

    Collector collector() {
        return new Groups();
    }

    /** Groups of records that count alike. */
    private final class Groups implements Collector {
        private final Reading reading = reading();
        private final Group probe = new Group();
        private HashMap<Group, Group> groups = new HashMap<Group, Group>();
        private long bytes;

        public boolean isFull() {
            return groups.size() >= MOST_GROUPS || bytes >= MOST_BYTES;
        }

        public void add(ConsumerRecord<Object, byte[]> record) {
            byte[] value = (byte[]) record.value();
            long stamp = record.timestamp();
            boolean known = reading.of(value);
            long windowEnd = windowEnd(stamp);
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

        public Iterator<Row> taken() {
            final Iterator<Group> taken = groups.values().iterator();
            groups = new HashMap<Group, Group>();
            bytes = 0;
            return new Iterator<Row>() {
                public boolean hasNext() {
                    return taken.hasNext();
                }

                public Row next() {
                    return ((Group) taken.next()).row();
                }
            };
        }
    }

    /** Records of one window and zone, or of one window and value; equal to others by these, and found by them. */
    private static final class Group {
        private long windowEnd;
        private boolean known;
        private byte[] text;
        private int start;
        private int end;
        private int hash;
        long records;
        long newest = -1;
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
                windowEnd == NO_WINDOW ? null : Long.valueOf(windowEnd),
                known ? new String(text, start, end - start, StandardCharsets.UTF_8) : null,
                known ? null : text,
                Long.valueOf(records),
                newest < 0 ? null : Long.valueOf(newest),
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
