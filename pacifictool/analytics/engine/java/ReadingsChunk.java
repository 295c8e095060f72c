package pacifictool.analytics.engine;

import java.io.ByteArrayOutputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;

/** Readings of one series out of one partition, column by column; function_wire.py reads what this writes. */
public final class ReadingsChunk {
    /** Of frames with readings; the others hold calls. */
    public static final int KIND = 1;
    private static final int FIRST_ROWS = 64;

    private final int series;
    private final int partition;
    private int rows;
    private long[] events = new long[FIRST_ROWS];
    private long[] offsets = new long[FIRST_ROWS];
    private final double[][] numbers;
    /** By column: the place of the reading's text among those that occur, or -1. */
    private final int[][] texts;
    private final TextColumn[] dictionaries;

    ReadingsChunk(int series, int partition, RecordRules rules) {
        this.series = series;
        this.partition = partition;
        this.numbers = new double[rules.numberKeys.length][FIRST_ROWS];
        this.texts = new int[rules.textKeys.length][FIRST_ROWS];
        this.dictionaries = new TextColumn[rules.textKeys.length];
        for (int i = 0; i < dictionaries.length; i++) {
            dictionaries[i] = new TextColumn();
        }
    }

    int rows() {
        return rows;
    }

    void add(RecordParser record, long event, long offset) {
        if (rows == events.length) {
            grow();
        }
        events[rows] = event;
        offsets[rows] = offset;
        for (int i = 0; i < numbers.length; i++) {
            numbers[i][rows] = record.numberState[i] == Reason.VALID ? record.units[i] / RecordParser.UNITS : Double.NaN;
        }
        for (int i = 0; i < texts.length; i++) {
            texts[i][rows] = record.textState[i] == Reason.VALID
                    ? dictionaries[i].placeOf(record.textBytes[i], record.textStart[i], record.textEnd[i])
                    : -1;
        }
        rows++;
    }

    private void grow() {
        int size = 2 * rows;
        events = Arrays.copyOf(events, size);
        offsets = Arrays.copyOf(offsets, size);
        for (int i = 0; i < numbers.length; i++) {
            numbers[i] = Arrays.copyOf(numbers[i], size);
        }
        for (int i = 0; i < texts.length; i++) {
            texts[i] = Arrays.copyOf(texts[i], size);
        }
    }

    byte[] written() throws IOException {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream(64 + rows * (16 + 8 * numbers.length + 4 * texts.length));
        DataOutputStream out = new DataOutputStream(bytes);
        out.writeInt(series);
        out.writeByte(KIND);
        out.writeInt(rows);
        out.writeInt(partition);
        for (int row = 0; row < rows; row++) {
            out.writeLong(events[row]);
        }
        for (int row = 0; row < rows; row++) {
            out.writeLong(offsets[row]);
        }
        for (int i = 0; i < texts.length; i++) {
            dictionaries[i].write(out);
            for (int row = 0; row < rows; row++) {
                out.writeInt(texts[i][row]);
            }
        }
        for (int i = 0; i < numbers.length; i++) {
            for (int row = 0; row < rows; row++) {
                out.writeDouble(numbers[i][row]);
            }
        }
        return bytes.toByteArray();
    }

    /** The texts that occur in a column, each once: most columns have few. */
    private static final class TextColumn {
        private final List<byte[]> known = new ArrayList<byte[]>();
        private final HashMap<String, Integer> places = new HashMap<String, Integer>();
        private int last = -1;

        int placeOf(byte[] bytes, int start, int end) {
            if (last >= 0) {
                byte[] before = (byte[]) known.get(last);
                if (Arrays.equals(before, 0, before.length, bytes, start, end)) {
                    return last;
                }
            }
            byte[] text = Arrays.copyOfRange(bytes, start, end);
            String name = new String(text, java.nio.charset.StandardCharsets.ISO_8859_1);
            Integer place = (Integer) places.get(name);
            if (place == null) {
                place = Integer.valueOf(known.size());
                places.put(name, place);
                known.add(text);
            }
            last = place.intValue();
            return last;
        }

        void write(DataOutputStream out) throws IOException {
            out.writeInt(known.size());
            for (int i = 0; i < known.size(); i++) {
                byte[] text = (byte[]) known.get(i);
                out.writeInt(text.length);
                out.write(text);
            }
        }
    }
}
