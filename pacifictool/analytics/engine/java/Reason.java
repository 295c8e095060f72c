package pacifictool.analytics.engine;

/** Why a record, or a part of it, does not count; numbered as in records.py. */
public final class Reason {
    /* Public, because Janino looks constants up from outside. */
    public static final int VALID = -1;
    public static final int NO_VALUE = 0;
    public static final int EMPTY = 1;
    public static final int NOT_UTF8 = 2;
    public static final int NOT_JSON = 3;
    public static final int NOT_AN_OBJECT = 4;
    public static final int NO_TEXT = 5;
    public static final int NOT_A_TEXT = 6;
    public static final int TEXT_WITH_CONTROLS = 7;
    public static final int TEXT_BLANK = 8;
    public static final int TEXT_TOO_LONG = 9;
    public static final int NO_NUMBER = 10;
    public static final int NOT_A_NUMBER = 11;
    public static final int OUT_OF_RANGE = 12;
    public static final int NO_TIME = 15;
    public static final int NOT_A_TIME = 16;
    public static final int AHEAD_OF_ARRIVAL = 13;
    public static final int TOO_LATE = 14;
    /** From this bit on, a reason holds its column of texts or numbers, or its analytics. */
    public static final int COLUMN_BIT = 8;

    private Reason() {}
}
