package pacifictool.analytics.engine;

import java.io.Serializable;

/** What one analytics wants of a record: the columns that make its group, its windows, and its partial results. */
public final class AnalyticsSpec implements Serializable {
    /* Kinds of parts, as in aggregates.py; public, because Janino looks constants up from outside. */
    public static final int SUM = 0;
    public static final int SQUARES = 1;
    public static final int EXTREMES = 2;
    public static final int FIRST = 3;
    public static final int LAST = 4;
    public static final int VALUES = 5;
    public static final int DISTINCT = 6;
    /** How many numbers a part of each kind holds; those of VALUES and DISTINCT are not fixed. */
    private static final int[] SIZES = {3, 4, 2, 4, 4, 0, 0};

    /** Columns of texts. */
    final int[] groupBy;
    final long windowMs;
    final long slideMs;
    /** Kinds and columns of the parts; a column of texts is counted on behind those of numbers. */
    final int[] kinds;
    final int[] columns;
    /** Whether records count that have none of the columns. */
    final boolean countsAll;
    /** Where in the fixed numbers each part begins, and how many there are in all. */
    final int[] places;
    final int fixed;
    final int variable;

    public AnalyticsSpec(
            int[] groupBy, long windowMs, long slideMs, int[] kinds, int[] columns, boolean countsAll) {
        this.groupBy = groupBy;
        this.windowMs = windowMs;
        this.slideMs = slideMs;
        this.kinds = kinds;
        this.columns = columns;
        this.countsAll = countsAll;
        this.places = new int[kinds.length];
        int place = 0;
        int variables = 0;
        for (int i = 0; i < kinds.length; i++) {
            if (kinds[i] == VALUES || kinds[i] == DISTINCT) {
                places[i] = variables++;
            } else {
                places[i] = place;
                place += SIZES[kinds[i]];
            }
        }
        this.fixed = place;
        this.variable = variables;
    }

    /** Whether the record has something that this analytics computes with. */
    boolean takes(RecordParser record) {
        for (int i = 0; i < groupBy.length; i++) {
            if (record.textState[groupBy[i]] != Reason.VALID) {
                return false;
            }
        }
        if (countsAll) {
            return true;
        }
        for (int i = 0; i < columns.length; i++) {
            if (columns[i] < record.numberState.length && record.numberState[columns[i]] == Reason.VALID) {
                return true;
            }
        }
        return false;
    }
}
