package pacifictool.analytics.engine;

import java.io.ByteArrayInputStream;
import java.io.DataInputStream;
import java.io.IOException;
import java.io.Serializable;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HashMap;

/**
 * Which records a function is to get: those of some groups, at some times, in some ranges of the topic. It is made from
 * what function_wire.py wrote, and travels to the executors in that form.
 */
public final class WantedReadings implements Serializable {
    private final byte[] written;
    /** By range: its partition, its first offset, and the one after the last. */
    transient int[] partitions;
    transient long[] starts;
    transient long[] ends;
    /** By range: offsets of records that were not counted although they could be by their content, in order. */
    private transient long[][] excluded;
    /** By group: the number of its series. */
    private transient HashMap<String, Integer> series;
    /** By number of a series: beginnings and ends of the times that are wanted, in order. */
    private transient long[][] times;
    private transient long earliest;
    private transient long latest;

    public WantedReadings(byte[] written) {
        this.written = written;
    }

    int ranges() {
        return partitions.length;
    }

    /** Whether the time can be wanted, whatever the group is. */
    boolean mayWant(long event) {
        return event >= earliest && event < latest;
    }

    /** The number of the series that wants a record; -1 when none does. */
    int seriesOf(String group, long event) {
        Integer number = (Integer) series.get(group);
        if (number == null) {
            return -1;
        }
        // Beginnings have even places, ends have odd ones.
        int place = Arrays.binarySearch(times[number.intValue()], event);
        int before = place >= 0 ? place : -place - 2;
        return before >= 0 && before % 2 == 0 ? number.intValue() : -1;
    }

    boolean isExcluded(int range, long offset) {
        return excluded[range].length > 0 && Arrays.binarySearch(excluded[range], offset) >= 0;
    }

    WantedReadings read() throws IOException {
        DataInputStream in = new DataInputStream(new ByteArrayInputStream(written));
        int count = in.readInt();
        partitions = new int[count];
        starts = new long[count];
        ends = new long[count];
        excluded = new long[count][];
        for (int i = 0; i < count; i++) {
            partitions[i] = in.readInt();
            starts[i] = in.readLong();
            ends[i] = in.readLong();
            excluded[i] = longs(in);
        }
        series = new HashMap<String, Integer>();
        earliest = Long.MAX_VALUE;
        latest = Long.MIN_VALUE;
        times = new long[in.readInt()][];
        for (int number = 0; number < times.length; number++) {
            byte[] group = new byte[in.readInt()];
            in.readFully(group);
            times[number] = longs(in);
            series.put(new String(group, StandardCharsets.UTF_8), Integer.valueOf(number));
            earliest = Math.min(earliest, times[number][0]);
            latest = Math.max(latest, times[number][times[number].length - 1]);
        }
        return this;
    }

    private static long[] longs(DataInputStream in) throws IOException {
        long[] row = new long[in.readInt()];
        for (int i = 0; i < row.length; i++) {
            row[i] = in.readLong();
        }
        return row;
    }
}
