package pacifictool.analytics.engine;

import java.io.Serializable;

/** The columns of records: which members of the JSON object are read, and what is valid in them. */
public final class RecordRules implements Serializable {
    final String[] textKeys;
    final String[] numberKeys;
    final double[] minimum;
    final double[] maximum;
    /** Key of the reading's own time, or null. */
    final String timeKey;
    final boolean numbersInText;

    public RecordRules(
            String[] textKeys, String[] numberKeys, double[] minimum, double[] maximum, String timeKey,
            boolean numbersInText) {
        this.textKeys = textKeys;
        this.numberKeys = numberKeys;
        this.minimum = minimum;
        this.maximum = maximum;
        this.timeKey = timeKey;
        this.numbersInText = numbersInText;
    }
}
