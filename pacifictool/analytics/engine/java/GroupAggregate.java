package pacifictool.analytics.engine;

import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.Arrays;

/** The partial results of one group and slide of one analytics; equal to others of the same, and found by them. */
public final class GroupAggregate implements Comparable<GroupAggregate> {
    /* Public, because Janino looks constants up from outside. */
    public static final int HEAD_BYTES = 14;
    private static final ValueCounts[] NO_VALUES = new ValueCounts[0];

    private final int analytics;
    private final AnalyticsSpec spec;
    private long slideEnd;
    private byte[] name;
    private int start;
    private int end;
    private int hash;
    private long count;
    private long[] numbers;
    private ValueCounts[] values;
    /** The last range that it has a record of. */
    private int range;

    GroupAggregate(int analytics, AnalyticsSpec spec) {
        this.analytics = analytics;
        this.spec = spec;
    }

    void describe(long slideEnd, byte[] name, int start, int end) {
        this.slideEnd = slideEnd;
        this.name = name;
        this.start = start;
        this.end = end;
        int hash = (int) (slideEnd ^ (slideEnd >>> 32)) + analytics;
        for (int i = start; i < end; i++) {
            hash = hash * 31 + name[i];
        }
        this.hash = hash;
    }

    /** The same group and slide without a record. */
    GroupAggregate copy() {
        GroupAggregate copy = new GroupAggregate(analytics, spec);
        copy.describe(slideEnd, Arrays.copyOfRange(name, start, end), 0, end - start);
        copy.numbers = new long[spec.fixed];
        copy.values = spec.variable == 0 ? NO_VALUES : new ValueCounts[spec.variable];
        for (int i = 0; i < spec.kinds.length; i++) {
            int place = spec.places[i];
            int kind = spec.kinds[i];
            if (kind == AnalyticsSpec.EXTREMES || kind == AnalyticsSpec.FIRST) {
                copy.numbers[place] = Long.MAX_VALUE;
            }
            if (kind == AnalyticsSpec.EXTREMES) {
                copy.numbers[place + 1] = Long.MIN_VALUE;
            } else if (kind == AnalyticsSpec.LAST) {
                copy.numbers[place] = -1;
            } else if (kind == AnalyticsSpec.VALUES || kind == AnalyticsSpec.DISTINCT) {
                copy.values[place] = new ValueCounts(kind == AnalyticsSpec.DISTINCT);
            }
        }
        return copy;
    }

    /** Whether it has no record of a range yet, whose first one is about to be added. */
    boolean isNewTo(int range) {
        boolean isNew = this.range != range;
        this.range = range;
        return isNew;
    }

    int fixedSize() {
        return end - start + 8 * numbers.length;
    }

    /** About how many bytes this takes when it is written. */
    int size() {
        int size = fixedSize();
        for (int i = 0; i < values.length; i++) {
            size += 16 * values[i].size();
        }
        return size;
    }

    void add(RecordParser record, long event, int partition, long offset) {
        count++;
        for (int i = 0; i < spec.kinds.length; i++) {
            int column = spec.columns[i];
            int place = spec.places[i];
            int texts = column - record.numberState.length;
            if (texts >= 0) {
                if (record.textState[texts] == Reason.VALID) {
                    values[place].add(ValueCounts.hash(
                            record.textBytes[texts], record.textStart[texts], record.textEnd[texts]), 1);
                }
            } else if (record.numberState[column] == Reason.VALID) {
                add(spec.kinds[i], place, record.units[column], event, partition, offset);
            }
        }
    }

    private void add(int kind, int place, long units, long event, int partition, long offset) {
        if (kind == AnalyticsSpec.SUM) {
            numbers[place]++;
            numbers[place + 1] += units >> 32;
            numbers[place + 2] += units & 0xffffffffL;
        } else if (kind == AnalyticsSpec.SQUARES) {
            long high = Math.multiplyHigh(units, units);
            long low = units * units;
            numbers[place] += high >>> 32;
            numbers[place + 1] += high & 0xffffffffL;
            numbers[place + 2] += low >>> 32;
            numbers[place + 3] += low & 0xffffffffL;
        } else if (kind == AnalyticsSpec.EXTREMES) {
            numbers[place] = Math.min(numbers[place], units);
            numbers[place + 1] = Math.max(numbers[place + 1], units);
        } else if (kind == AnalyticsSpec.VALUES) {
            values[place].add(units, 1);
        } else if (kind == AnalyticsSpec.DISTINCT) {
            values[place].add(ValueCounts.hash(units), 1);
        } else if (isBetter(kind, place, event, partition, offset)) {
            numbers[place] = event;
            numbers[place + 1] = partition;
            numbers[place + 2] = offset;
            numbers[place + 3] = units;
        }
    }

    /** Whether a value of that time and place comes before the first one so far, or after the last one. */
    private boolean isBetter(int kind, int place, long event, long partition, long offset) {
        long order = event - numbers[place];
        if (order == 0) {
            order = partition - numbers[place + 1];
        }
        if (order == 0) {
            order = offset - numbers[place + 2];
        }
        return kind == AnalyticsSpec.FIRST ? order < 0 : order > 0;
    }

    int analytics() {
        return analytics;
    }

    /* Rows go through buffers: a call of a stream for each number took two thirds of the time. */

    void write(DataOutputStream out) throws IOException {
        ByteBuffer row = ByteBuffer.allocate(HEAD_BYTES + end - start + 8 + 8 * numbers.length);
        row.putInt(analytics).putLong(slideEnd).putShort((short) (end - start));
        row.put(name, start, end - start);
        row.putLong(count);
        putNumbers(row);
        out.write(row.array());
        writeValues(out);
    }

    /** Writes groups of one analytics: their number, then a column after the other, texts and states behind sizes. */
    static void writeColumns(DataOutputStream out, GroupAggregate[] groups) throws IOException {
        ByteBuffer columns = ByteBuffer.allocate(8 + 20 * groups.length);
        columns.putInt(groups.length);
        for (int i = 0; i < groups.length; i++) {
            columns.putLong(groups[i].slideEnd);
        }
        for (int i = 0; i < groups.length; i++) {
            columns.putLong(groups[i].count);
        }
        int size = 0;
        for (int i = 0; i < groups.length; i++) {
            columns.putInt(groups[i].stateSize());
            size += groups[i].end - groups[i].start + 1;
        }
        columns.putInt(size);
        out.write(columns.array());
        ByteBuffer names = ByteBuffer.allocate(size);
        for (int i = 0; i < groups.length; i++) {
            names.put(groups[i].name, groups[i].start, groups[i].end - groups[i].start);
            names.put((byte) 0); // no name holds it
        }
        out.write(names.array());
        for (int i = 0; i < groups.length; i++) {
            ByteBuffer fixed = ByteBuffer.allocate(8 * groups[i].numbers.length);
            groups[i].putNumbers(fixed);
            out.write(fixed.array());
            groups[i].writeValues(out);
        }
    }

    private int stateSize() {
        int size = 8 * numbers.length;
        for (int i = 0; i < values.length; i++) {
            size += values[i].writtenSize();
        }
        return size;
    }

    private void putNumbers(ByteBuffer row) {
        for (int i = 0; i < numbers.length; i++) {
            row.putLong(numbers[i]);
        }
    }

    private void writeValues(DataOutputStream out) throws IOException {
        for (int i = 0; i < values.length; i++) {
            values[i].write(out);
        }
    }

    /** Adds the counts and parts of another one, from behind its name on. */
    void merge(DataInputStream in) throws IOException {
        byte[] bytes = new byte[8 + 8 * numbers.length];
        in.readFully(bytes);
        ByteBuffer row = ByteBuffer.wrap(bytes);
        count += row.getLong();
        long[] other = new long[numbers.length];
        for (int i = 0; i < other.length; i++) {
            other[i] = row.getLong();
        }
        for (int i = 0; i < spec.kinds.length; i++) {
            int place = spec.places[i];
            int kind = spec.kinds[i];
            if (kind == AnalyticsSpec.SUM || kind == AnalyticsSpec.SQUARES) {
                int parts = kind == AnalyticsSpec.SUM ? 3 : 4;
                for (int part = place; part < place + parts; part++) {
                    numbers[part] += other[part];
                }
            } else if (kind == AnalyticsSpec.EXTREMES) {
                numbers[place] = Math.min(numbers[place], other[place]);
                numbers[place + 1] = Math.max(numbers[place + 1], other[place + 1]);
            } else if ((kind == AnalyticsSpec.FIRST || kind == AnalyticsSpec.LAST)
                    && isBetter(kind, place, other[place], other[place + 1], other[place + 2])) {
                System.arraycopy(other, place, numbers, place, 4);
            }
        }
        for (int i = 0; i < values.length; i++) {
            values[i].merge(in);
        }
    }

    /** By analytics, slide and name, as SQLite orders them. */
    public int compareTo(Object object) {
        GroupAggregate other = (GroupAggregate) object;
        int order = analytics - other.analytics;
        if (order == 0) {
            order = Long.compare(slideEnd, other.slideEnd);
        }
        return order != 0 ? order : Arrays.compareUnsigned(name, start, end, other.name, other.start, other.end);
    }

    public int hashCode() {
        return hash;
    }

    public boolean equals(Object object) {
        GroupAggregate other = (GroupAggregate) object;
        return hash == other.hash && slideEnd == other.slideEnd && analytics == other.analytics
                && Arrays.equals(name, start, end, other.name, other.start, other.end);
    }
}
