package pacifictool.analytics.engine;

import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.record.TimestampType;

/** Says of a record whether it counts, at which event time, and why something of it does not. */
public final class RecordClassifier {
    final RecordParser parser;
    private final RecordRules rules;
    private final boolean[] groups;
    private final long[] context;

    /** The first reason why something of the record does not count; VALID when all of it does. */
    int reason;
    /** Whether the record counts in the windows of those analytics that take it. */
    boolean counts;
    long event;
    /** The event time, but never ahead of the record's arrival. */
    long seen;
    /** Whether the record itself says when it was. */
    boolean hasTime;

    /**
     * @param context milliseconds: records arrived by the first, since the epoch, at the latest; how far their times may
     *     be ahead of that; records without timestamp count at the third
     */
    RecordClassifier(RecordRules rules, AnalyticsSpec[] specs, long[] context) {
        this.rules = rules;
        this.context = context;
        this.parser = new RecordParser(rules);
        this.groups = new boolean[rules.textKeys.length];
        for (int i = 0; i < specs.length; i++) {
            for (int column = 0; column < specs[i].groupBy.length; column++) {
                groups[specs[i].groupBy[column]] = true;
            }
        }
    }

    void classify(ConsumerRecord<Object, byte[]> record) {
        counts = false;
        reason = parser.parse((byte[]) record.value());
        if (reason != Reason.VALID) {
            return;
        }
        boolean hasNumber = parser.complete || hasNumber();
        if (!parser.complete) {
            reason = firstFault(hasNumber);
        }
        int timeState = takeTime(record);
        if (timeState == Reason.VALID) {
            counts = hasNumber;
        } else if (reason == Reason.VALID || (hasNumber && timeState == Reason.AHEAD_OF_ARRIVAL)) {
            // That one must be kept: when the record is read again, nothing else says that it was not counted.
            reason = timeState;
        }
    }

    /** Whether an analytics counts the record that was classified last. */
    boolean takes(AnalyticsSpec spec) {
        return counts && (parser.complete || spec.takes(parser));
    }

    /** Finds out when the record was. Returns VALID, or why its time cannot be used. */
    private int takeTime(ConsumerRecord<Object, byte[]> record) {
        long timestamp = record.timestamp();
        // The broker's own timestamps are times of arrival, on the only clock that counts.
        boolean arrivalIsKnown = record.timestampType() == TimestampType.LOG_APPEND_TIME;
        long arrival = arrivalIsKnown ? timestamp : context[0];
        if (rules.timeKey == null) {
            hasTime = timestamp >= 0;
            event = hasTime ? timestamp : context[2];
        } else if (parser.timeState == Reason.VALID) {
            hasTime = true;
            event = parser.time;
        } else {
            return parser.timeState;
        }
        boolean trusted = arrivalIsKnown && rules.timeKey == null;
        seen = trusted ? event : Math.min(event, arrival);
        return trusted || event <= arrival + context[1] ? Reason.VALID : Reason.AHEAD_OF_ARRIVAL;
    }

    private int firstFault(boolean hasNumber) {
        for (int i = 0; i < groups.length; i++) {
            if (groups[i] && parser.textState[i] != Reason.VALID) {
                return parser.textState[i] | i << Reason.COLUMN_BIT;
            }
        }
        for (int i = 0; i < parser.numberState.length; i++) {
            int state = parser.numberState[i];
            if (state != Reason.VALID && state != Reason.NO_NUMBER) {
                return state | i << Reason.COLUMN_BIT;
            }
        }
        return hasNumber ? Reason.VALID : Reason.NO_NUMBER;
    }

    private boolean hasNumber() {
        for (int i = 0; i < parser.numberState.length; i++) {
            if (parser.numberState[i] == Reason.VALID) {
                return true;
            }
        }
        return false;
    }
}
