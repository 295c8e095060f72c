package pacifictool.analytics.engine;

import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.util.Iterator;
import java.util.Map;
import java.util.TreeMap;

/**
 * How often each value occurred, for percentiles; or which values occurred, for counts of distinct ones.
 *
 * <p>Both stay small: beyond EXACT different values, percentiles keep DIGITS binary digits of each; counts of distinct
 * values keep the SMALLEST hashes. What is kept depends on the values alone, never on their order or on how they came in
 * batches, so that a replay gives the same results. aggregates.py merges and reads what this writes.
 */
public final class ValueCounts {
    /* As in aggregates.py. */
    public static final int EXACT = 1000;
    public static final int SMALLEST = 4097;
    public static final int DIGITS = 9;

    private final boolean distinct;
    private boolean rounded;
    private TreeMap<Long, long[]> counts = new TreeMap<Long, long[]>();

    ValueCounts(boolean distinct) {
        this.distinct = distinct;
    }

    int size() {
        return counts.size();
    }

    void add(long value, long number) {
        Long key = Long.valueOf(rounded ? rounded(value) : value);
        long[] count = (long[]) counts.get(key);
        if (count != null) {
            count[0] += number;
            return;
        }
        counts.put(key, new long[] {number});
        if (distinct && counts.size() > SMALLEST) {
            counts.pollLastEntry();
        } else if (!distinct && !rounded && counts.size() > EXACT) {
            round();
        }
    }

    private void round() {
        TreeMap<Long, long[]> exact = counts;
        counts = new TreeMap<Long, long[]>();
        rounded = true;
        for (Iterator<Map.Entry<Long, long[]>> each = exact.entrySet().iterator(); each.hasNext();) {
            Map.Entry<Long, long[]> entry = (Map.Entry<Long, long[]>) each.next();
            add(((Long) entry.getKey()).longValue(), ((long[]) entry.getValue())[0]);
        }
    }

    /** The value with only its first DIGITS binary digits. */
    private static long rounded(long value) {
        long size = Math.abs(value);
        int shift = Math.max(0, 64 - Long.numberOfLeadingZeros(size) - DIGITS);
        long kept = (size >>> shift) << shift;
        return value < 0 ? -kept : kept;
    }

    static long hash(byte[] bytes, int start, int end) {
        long hash = 0xcbf29ce484222325L; // FNV-1a
        for (int i = start; i < end; i++) {
            hash = (hash ^ (bytes[i] & 0xff)) * 0x100000001b3L;
        }
        return hash(hash);
    }

    static long hash(long value) {
        long hash = value; // the finalizer of MurmurHash3
        hash = (hash ^ (hash >>> 33)) * 0xff51afd7ed558ccdL;
        hash = (hash ^ (hash >>> 33)) * 0xc4ceb9fe1a85ec53L;
        return hash ^ (hash >>> 33);
    }

    int writtenSize() {
        return 5 + (distinct ? 8 : 16) * counts.size();
    }

    void write(DataOutputStream out) throws IOException {
        out.writeBoolean(rounded);
        out.writeInt(counts.size());
        for (Iterator<Map.Entry<Long, long[]>> each = counts.entrySet().iterator(); each.hasNext();) {
            Map.Entry<Long, long[]> entry = (Map.Entry<Long, long[]>) each.next();
            out.writeLong(((Long) entry.getKey()).longValue());
            if (!distinct) {
                out.writeLong(((long[]) entry.getValue())[0]);
            }
        }
    }

    void merge(DataInputStream in) throws IOException {
        boolean otherRounded = in.readBoolean();
        if (otherRounded && !rounded) {
            round();
        }
        int size = in.readInt();
        for (int i = 0; i < size; i++) {
            long value = in.readLong();
            add(value, distinct ? 1 : in.readLong());
        }
    }
}
