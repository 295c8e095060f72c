package pacifictool.analytics.engine;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.core.io.JsonStringEncoder;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.CharsetDecoder;
import java.nio.charset.StandardCharsets;
import java.util.regex.Pattern;

/**
 * Parses one record: the texts and numbers of its columns, or the reason why it is invalid. The rules are those of
 * docs/operations.md, "Valid records".
 */
public final class RecordParser {
    /* Public, because Janino looks constants up from outside. */
    public static final double UNITS = 1e9;
    private static final double LATEST_TIME = 253402300799999.0; // the end of the year 9999
    /** Powers of ten that a double holds exactly, as it does integers of 53 bits: their quotient is rounded once. */
    private static final double[] TENS = {
        1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17
    };
    private static final long EXACT = 1L << 53;
    private static final Pattern NUMBER = Pattern.compile("-?(0|[1-9][0-9]*)(\\.[0-9]+)?([eE][+-]?[0-9]+)?");
    private static final JsonFactory JSON =
            JsonFactory.builder().enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION).build();

    private final RecordRules rules;
    private final int texts;
    private final int numbers;
    private final byte[][] quotedKeys;
    private final CharsetDecoder utf8 = StandardCharsets.UTF_8.newDecoder();

    /** By column of text: VALID and its bytes, or why it is invalid. The bytes may be those of the record. */
    final int[] textState;
    final byte[][] textBytes;
    final int[] textStart;
    final int[] textEnd;
    /** By column of numbers: VALID and the number in units of 1e-9, or why it is invalid; NO_NUMBER when absent. */
    final int[] numberState;
    final long[] units;
    /** Whether all texts and numbers are there and valid, as they nearly always are. */
    boolean complete;
    /** The reading's own time. */
    int timeState;
    long time;

    private double number;
    private byte[] text;
    private int at;

    RecordParser(RecordRules rules) {
        this.rules = rules;
        this.texts = rules.textKeys.length;
        this.numbers = rules.numberKeys.length;
        this.quotedKeys = new byte[texts + numbers + (rules.timeKey == null ? 0 : 1)][];
        for (int i = 0; i < quotedKeys.length; i++) {
            quotedKeys[i] = ('"' + new String(JsonStringEncoder.getInstance().quoteAsString(keyOf(i))) + "\":")
                    .getBytes(StandardCharsets.UTF_8);
        }
        this.textState = new int[texts];
        this.textBytes = new byte[texts][];
        this.textStart = new int[texts];
        this.textEnd = new int[texts];
        this.numberState = new int[numbers];
        this.units = new long[numbers];
    }

    /** Columns are the texts, then the numbers, then the reading's own time. */
    private String keyOf(int column) {
        if (column < texts) {
            return rules.textKeys[column];
        }
        return column < texts + numbers ? rules.numberKeys[column - texts] : rules.timeKey;
    }

    /** Parses a record's value. Returns VALID when its columns can be read, or why nothing of it counts. */
    int parse(byte[] value) {
        if (value == null) {
            return Reason.NO_VALUE;
        }
        if (isPlain(value)) {
            return Reason.VALID;
        }
        clear();
        return parseJson(value);
    }

    private void clear() {
        complete = false;
        for (int i = 0; i < texts; i++) {
            textState[i] = Reason.NO_TEXT;
        }
        for (int i = 0; i < numbers; i++) {
            numberState[i] = Reason.NO_NUMBER;
        }
        timeState = Reason.NO_TIME;
    }

    private void setNumber(int column, double value) {
        if (value >= rules.minimum[column] && value <= rules.maximum[column]) {
            numberState[column] = Reason.VALID;
            units[column] = (long) Math.rint(value * UNITS);
        } else {
            numberState[column] = Reason.OUT_OF_RANGE;
        }
    }

    private void setTime(double value) {
        boolean whole = value >= 0 && value <= LATEST_TIME && value == Math.rint(value);
        timeState = whole ? Reason.VALID : Reason.NOT_A_TIME;
        time = (long) value;
    }

    // --- any JSON ------------------------------------------------------------------------------------------------

    private int parseJson(byte[] value) {
        if (value.length == 0) {
            return Reason.EMPTY;
        }
        boolean ascii = true;
        boolean escaped = false;
        boolean zero = false;
        for (int i = 0; i < value.length; i++) {
            ascii &= value[i] >= 0;
            escaped |= value[i] == '\\';
            zero |= value[i] == 0;
        }
        if (!ascii && !isUtf8(value)) {
            return Reason.NOT_UTF8;
        }
        // Jackson takes a byte order mark, or zero bytes, for a sign of another encoding.
        if (zero || value[0] == (byte) 0xef) {
            return Reason.NOT_JSON;
        }
        try {
            return parseJson(JSON.createParser(value), escaped);
        } catch (IOException error) {
            return Reason.NOT_JSON;
        }
    }

    private boolean isUtf8(byte[] value) {
        try {
            utf8.decode(ByteBuffer.wrap(value));
            return true;
        } catch (CharacterCodingException error) {
            return false;
        }
    }

    /** `escaped`: names and texts may hold halves of surrogate pairs, which no UTF-8 can express. */
    private int parseJson(JsonParser parser, boolean escaped) throws IOException {
        JsonToken root = parser.nextToken();
        int depth = 0;
        int column = -1;
        for (JsonToken token = root; token != null; token = parser.nextToken()) {
            if (escaped && (token == JsonToken.VALUE_STRING || token == JsonToken.FIELD_NAME)
                    && Texts.hasLoneSurrogate(parser.getText())) {
                return Reason.NOT_JSON;
            }
            if (depth == 1 && token == JsonToken.FIELD_NAME) {
                column = columnOf(parser.currentName());
            } else if (depth == 1 && root == JsonToken.START_OBJECT && token != JsonToken.END_OBJECT && column >= 0) {
                take(column, token, parser);
            }
            if (token.isStructStart()) {
                depth++;
            } else if (token.isStructEnd()) {
                depth--;
            }
            if (depth == 0) {
                if (parser.nextToken() != null) { // The value is complete: nothing may follow.
                    return Reason.NOT_JSON;
                }
                break;
            }
        }
        parser.close();
        if (root == null) {
            return Reason.NOT_JSON;
        }
        return root == JsonToken.START_OBJECT ? Reason.VALID : Reason.NOT_AN_OBJECT;
    }

    private int columnOf(String key) {
        for (int i = 0; i < quotedKeys.length; i++) {
            if (key.equals(keyOf(i))) {
                return i;
            }
        }
        return -1;
    }

    private void take(int column, JsonToken token, JsonParser parser) throws IOException {
        if (column < texts) {
            takeText(column, token == JsonToken.VALUE_STRING ? parser.getText() : null);
            return;
        }
        double value = Double.NaN;
        if (token.isNumeric()) {
            value = parser.getDoubleValue();
        } else if (token == JsonToken.VALUE_STRING && rules.numbersInText
                && NUMBER.matcher(parser.getText()).matches()) {
            value = Double.parseDouble(parser.getText());
        }
        if (column == texts + numbers) {
            setTime(value);
        } else if (value != value) {
            numberState[column - texts] = Reason.NOT_A_NUMBER;
        } else {
            setNumber(column - texts, value);
        }
    }

    private void takeText(int column, String value) {
        textState[column] = Texts.stateOf(value);
        if (textState[column] == Reason.VALID) {
            textBytes[column] = value.getBytes(StandardCharsets.UTF_8);
            textStart[column] = 0;
            textEnd[column] = textBytes[column].length;
        }
    }

    // --- the form in which the platform's rule writes records: a JSON parser takes three times as long -------------

    /** Whether the record is an object of known keys, each once, with plain texts and numbers; then it is parsed. */
    private boolean isPlain(byte[] value) {
        text = value;
        at = 0;
        clear();
        if (!skips('{')) {
            return false;
        }
        int next = 0;
        int missing = texts + numbers;
        do {
            skips(' ');
            int column = next < quotedKeys.length && skips(quotedKeys[next]) ? next : anyColumn();
            if (column < 0) {
                return false;
            }
            skips(' ');
            if (!(column < texts ? hasText(column) : hasNumber(column))) {
                return false;
            }
            missing -= column < texts || (column < texts + numbers && numberState[column - texts] == Reason.VALID) ? 1 : 0;
            next = column + 1;
        } while (skips(','));
        complete = missing == 0;
        return skips('}') && at == text.length;
    }

    private int anyColumn() {
        for (int i = 0; i < quotedKeys.length; i++) {
            if (skips(quotedKeys[i])) {
                return i;
            }
        }
        return -1;
    }

    private int here() {
        return at < text.length ? (int) text[at] : -1;
    }

    private boolean skips(char wanted) {
        boolean found = here() == wanted;
        if (found) {
            at++;
        }
        return found;
    }

    private boolean skips(byte[] wanted) {
        if (text.length - at < wanted.length) {
            return false;
        }
        for (int i = 0; i < wanted.length; i++) {
            if (text[at + i] != wanted[i]) {
                return false;
            }
        }
        at += wanted.length;
        return true;
    }

    /** Printable ASCII without quotes and backslashes, not beginning with a space; and the first of its key. */
    private boolean hasText(int column) {
        if (textState[column] != Reason.NO_TEXT || !skips('"')) {
            return false;
        }
        int start = at;
        for (int next = here(); next >= ' ' && next <= '~' && next != '"' && next != '\\'; next = here()) {
            at++;
        }
        textBytes[column] = text;
        textStart[column] = start;
        textEnd[column] = at;
        textState[column] = Reason.VALID;
        return at > start && at - start <= Texts.LONGEST && text[start] != ' ' && skips('"');
    }

    private boolean hasNumber(int column) {
        boolean isTime = column == texts + numbers;
        if (isTime ? timeState != Reason.NO_TIME : numberState[column - texts] != Reason.NO_NUMBER) {
            return false;
        }
        boolean quoted = rules.numbersInText && skips('"');
        if (!hasNumber() || (quoted && !skips('"'))) {
            return false;
        }
        if (isTime) {
            setTime(number);
        } else {
            setNumber(column - texts, number);
        }
        return true;
    }

    private boolean hasNumber() {
        int start = at;
        boolean negative = skips('-');
        int first = at;
        int whole = skipDigits();
        if (whole < 1 || whole > 18 || (whole > 1 && text[first] == '0')) {
            return false;
        }
        int decimals = 0;
        if (skips('.')) {
            decimals = skipDigits();
            if (decimals < 1 || decimals > 17) {
                return false;
            }
        }
        boolean plain = true;
        if (skips('e') || skips('E')) {
            plain = false;
            if (!skips('+')) {
                skips('-');
            }
            int digits = skipDigits();
            if (digits < 1 || digits > 3) {
                return false;
            }
        }
        if (plain && whole + decimals <= 18) {
            long digits = 0;
            for (int i = first; i < at; i++) {
                if (text[i] != '.') {
                    digits = digits * 10 + (text[i] - '0');
                }
            }
            if (digits <= EXACT) {
                number = (negative ? -digits : digits) / TENS[decimals];
                return true;
            }
        }
        number = Double.parseDouble(new String(text, start, at - start, StandardCharsets.US_ASCII));
        return true;
    }

    private int skipDigits() {
        int start = at;
        while (here() >= '0' && here() <= '9') {
            at++;
        }
        return at - start;
    }
}
