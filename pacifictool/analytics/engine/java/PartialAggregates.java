package pacifictool.analytics.engine;

import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;

/** What a task makes of its range, and the driver of all tasks of a batch: groups by slide, and invalid records. */
public final class PartialAggregates {
    private final AnalyticsSpec[] specs;
    private final GroupAggregate[] probes;
    private final HashMap<GroupAggregate, GroupAggregate> groups = new HashMap<GroupAggregate, GroupAggregate>();
    private final List<InvalidRecord> invalid = new ArrayList<InvalidRecord>();
    /** Of the range that is being read: its number, and how many groups, invalid records, and bytes of both it has. */
    private int range;
    private int groupsOfRange;
    private int invalidOfRange;
    private long bytesOfRange;
    private final GroupName name = new GroupName();

    PartialAggregates(AnalyticsSpec[] specs) {
        this.specs = specs;
        this.probes = new GroupAggregate[specs.length];
        for (int i = 0; i < specs.length; i++) {
            probes[i] = new GroupAggregate(i, specs[i]);
        }
    }

    /** What follows is of another range. */
    void beginRange() {
        range++;
        groupsOfRange = 0;
        invalidOfRange = 0;
        bytesOfRange = 0;
    }

    int groupsOfRange() {
        return groupsOfRange;
    }

    int invalidOfRange() {
        return invalidOfRange;
    }

    long bytesOfRange() {
        return bytesOfRange;
    }

    /** Adds a record to its group of one analytics, in the slide that ends at `slideEnd`. */
    void add(int analytics, long slideEnd, RecordParser record, long event, int partition, long offset) {
        name.take(specs[analytics].groupBy, record);
        GroupAggregate group = group(analytics, slideEnd, name.bytes, name.start, name.end);
        if (group.isNewTo(range)) {
            groupsOfRange++;
            bytesOfRange += group.fixedSize();
        }
        boolean grows = specs[analytics].variable > 0;
        int before = grows ? group.size() : 0;
        group.add(record, event, partition, offset);
        bytesOfRange += grows ? group.size() - before : 0;
    }

    void addInvalid(int partition, long offset, long timestamp, int reason, byte[] value) {
        invalid.add(new InvalidRecord(partition, offset, timestamp, reason, value));
        invalidOfRange++;
        bytesOfRange += value == null ? 0 : value.length;
    }

    private GroupAggregate group(int analytics, long slideEnd, byte[] name, int start, int end) {
        GroupAggregate probe = probes[analytics];
        probe.describe(slideEnd, name, start, end);
        GroupAggregate group = (GroupAggregate) groups.get(probe);
        if (group == null) {
            group = probe.copy();
            groups.put(group, group);
        }
        return group;
    }

    /** Groups first, one after the other, for `merge`. */
    void write(DataOutputStream out) throws IOException {
        out.writeInt(groups.size());
        for (Iterator<GroupAggregate> each = groups.values().iterator(); each.hasNext();) {
            ((GroupAggregate) each.next()).write(out);
        }
        writeInvalid(out);
    }

    /**
     * Groups first, as columns in the order of analytics, slide and name: the state store adds sorted rows in a third of
     * the time. reader.py decodes it.
     */
    void writeColumns(DataOutputStream out) throws IOException {
        GroupAggregate[] sorted = (GroupAggregate[]) groups.values().toArray(new GroupAggregate[0]);
        Arrays.sort(sorted);
        int[] counts = new int[specs.length];
        for (int i = 0; i < sorted.length; i++) {
            counts[sorted[i].analytics()]++;
        }
        int first = 0;
        for (int i = 0; i < specs.length; i++) {
            GroupAggregate.writeColumns(
                    out, (GroupAggregate[]) Arrays.copyOfRange(sorted, first, first + counts[i]));
            first += counts[i];
        }
        writeInvalid(out);
    }

    /** All fixed parts before all values. */
    private void writeInvalid(DataOutputStream out) throws IOException {
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
        byte[] head = new byte[GroupAggregate.HEAD_BYTES];
        for (int i = 0; i < count; i++) {
            in.readFully(head);
            ByteBuffer row = ByteBuffer.wrap(head);
            int analytics = row.getInt();
            long slideEnd = row.getLong();
            byte[] name = new byte[row.getShort() & 0xffff];
            in.readFully(name);
            group(analytics, slideEnd, name, 0, name.length).merge(in);
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
}
