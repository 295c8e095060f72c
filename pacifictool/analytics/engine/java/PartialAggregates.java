package pacifictool.analytics.engine;

import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;

/**
 * Counts and sums by window and group, and the invalid records: what a task makes of its range, and what the driver
 * makes of all tasks of a batch.
 */
public final class PartialAggregates {
    private final Group probe = new Group();
    private final HashMap<Group, Group> groups = new HashMap<Group, Group>();
    private final List<InvalidRecord> invalid = new ArrayList<InvalidRecord>();
    /** Bytes of names and of invalid records. */
    private long bytes;

    int groups() {
        return groups.size();
    }

    int invalidRecords() {
        return invalid.size();
    }

    long bytes() {
        return bytes;
    }

    /** Adds one value, in units of 1e-9, to the group named by `name[start..end)`. */
    void add(long windowEnd, byte[] name, int start, int end, long units) {
        Group group = group(windowEnd, name, start, end);
        group.count++;
        group.high += units >> 32;
        group.low += units & 0xffffffffL;
    }

    void addInvalid(int partition, long offset, long timestamp, int reason, byte[] value) {
        invalid.add(new InvalidRecord(partition, offset, timestamp, reason, value));
        bytes += value == null ? 0 : value.length;
    }

    private Group group(long windowEnd, byte[] name, int start, int end) {
        probe.describe(windowEnd, name, start, end);
        Group group = (Group) groups.get(probe);
        if (group == null) {
            group = probe.copy();
            groups.put(group, group);
            bytes += group.end;
        }
        return group;
    }

    /** Groups first, all fixed parts before all names, then invalid records in the same way: reader.py decodes it. */
    void write(DataOutputStream out) throws IOException {
        out.writeInt(groups.size());
        for (Iterator<Group> each = groups.values().iterator(); each.hasNext();) {
            Group group = (Group) each.next();
            out.writeLong(group.windowEnd);
            out.writeLong(group.count);
            out.writeLong(group.high);
            out.writeLong(group.low);
            out.writeShort(group.end);
        }
        for (Iterator<Group> each = groups.values().iterator(); each.hasNext();) {
            Group group = (Group) each.next();
            out.write(group.name, 0, group.end);
        }
        out.writeInt(invalid.size());
        for (int i = 0; i < invalid.size(); i++) {
            InvalidRecord record = (InvalidRecord) invalid.get(i);
            out.writeInt(record.partition);
            out.writeLong(record.offset);
            out.writeLong(record.timestamp);
            out.writeInt(record.reason);
            out.writeInt(record.value == null ? -1 : record.value.length);
        }
        for (int i = 0; i < invalid.size(); i++) {
            InvalidRecord record = (InvalidRecord) invalid.get(i);
            if (record.value != null) {
                out.write(record.value);
            }
        }
    }

    /** Adds what another one has written. */
    void merge(DataInputStream in) throws IOException {
        int count = in.readInt();
        long[] numbers = new long[4 * count];
        int[] sizes = new int[count];
        for (int i = 0; i < count; i++) {
            for (int field = 0; field < 4; field++) {
                numbers[4 * i + field] = in.readLong();
            }
            sizes[i] = in.readUnsignedShort();
        }
        for (int i = 0; i < count; i++) {
            byte[] name = new byte[sizes[i]];
            in.readFully(name);
            Group group = group(numbers[4 * i], name, 0, name.length);
            group.count += numbers[4 * i + 1];
            group.high += numbers[4 * i + 2];
            group.low += numbers[4 * i + 3];
        }
        int first = invalid.size();
        count = in.readInt();
        int[] lengths = new int[count];
        for (int i = 0; i < count; i++) {
            invalid.add(new InvalidRecord(in.readInt(), in.readLong(), in.readLong(), in.readInt(), null));
            lengths[i] = in.readInt();
        }
        for (int i = 0; i < count; i++) {
            if (lengths[i] >= 0) {
                byte[] value = new byte[lengths[i]];
                in.readFully(value);
                ((InvalidRecord) invalid.get(first + i)).value = value;
            }
        }
    }

    private static final class InvalidRecord {
        private final int partition;
        private final long offset;
        private final long timestamp;
        private final int reason;
        private byte[] value;

        InvalidRecord(int partition, long offset, long timestamp, int reason, byte[] value) {
            this.partition = partition;
            this.offset = offset;
            this.timestamp = timestamp;
            this.reason = reason;
            this.value = value;
        }
    }

    /** One window of one group; equal to others by these, and found by them. */
    private static final class Group {
        private long windowEnd;
        private byte[] name;
        private int start;
        private int end;
        private int hash;
        long count;
        /** Sums of the halves of the values, so that they cannot overflow. */
        long high;
        long low;

        void describe(long windowEnd, byte[] name, int start, int end) {
            this.windowEnd = windowEnd;
            this.name = name;
            this.start = start;
            this.end = end;
            int hash = (int) (windowEnd ^ (windowEnd >>> 32));
            for (int i = start; i < end; i++) {
                hash = hash * 31 + name[i];
            }
            this.hash = hash;
        }

        Group copy() {
            Group copy = new Group();
            copy.describe(windowEnd, Arrays.copyOfRange(name, start, end), 0, end - start);
            return copy;
        }

        public int hashCode() {
            return hash;
        }

        public boolean equals(Object object) {
            Group other = (Group) object;
            return hash == other.hash && windowEnd == other.windowEnd
                    && Arrays.equals(name, start, end, other.name, other.start, other.end);
        }
    }
}
