package pacifictool.analytics.engine;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/** The name of a record's group: its texts with a control character between them, which none of them holds. */
public final class GroupName {
    /** Where the name is; up to the next record, as the bytes may be those of the record. */
    byte[] bytes;
    int start;
    int end;
    private byte[] joined = new byte[1024];

    /** Takes the name out of a record whose texts in these columns are valid. */
    void take(int[] columns, RecordParser record) {
        if (columns.length == 1) {
            bytes = record.textBytes[columns[0]];
            start = record.textStart[columns[0]];
            end = record.textEnd[columns[0]];
            return;
        }
        start = 0;
        end = 0;
        for (int i = 0; i < columns.length; i++) {
            int column = columns[i];
            int size = record.textEnd[column] - record.textStart[column];
            if (end + size + 1 > joined.length) {
                joined = Arrays.copyOf(joined, 2 * (end + size + 1));
            }
            if (i > 0) {
                joined[end++] = 0x1f;
            }
            System.arraycopy(record.textBytes[column], record.textStart[column], joined, end, size);
            end += size;
        }
        bytes = joined;
    }

    public String toString() {
        return new String(bytes, start, end - start, StandardCharsets.UTF_8);
    }
}
