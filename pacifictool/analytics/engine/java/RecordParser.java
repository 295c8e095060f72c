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

/**
 * Parses one record: its group and its number, or the reason why it is invalid. The rules are those of
 * docs/operations.md, "Valid records"; reasons are numbered as in reader.py.
 */
public final class RecordParser {
    /* Public, because Janino looks constants up from outside. */
    public static final int VALID = -1;
    public static final int NO_VALUE = 0;
    public static final int EMPTY = 1;
    public static final int NOT_UTF8 = 2;
    public static final int NOT_JSON = 3;
    public static final int NOT_AN_OBJECT = 4;
    public static final int NO_GROUP = 5;
    public static final int GROUP_NOT_TEXT = 6;
    public static final int GROUP_WITH_CONTROLS = 7;
    public static final int GROUP_BLANK = 8;
    public static final int GROUP_TOO_LONG = 9;
    public static final int NO_NUMBER = 10;
    public static final int NOT_A_NUMBER = 11;
    public static final int OUT_OF_RANGE = 12;

    private static final double UNITS = 1e9;
    private static final int LONGEST_GROUP = 255;
    /** Powers of ten that a double holds exactly, as it does integers of 53 bits: their quotient is rounded once. */
    private static final double[] TENS = {
        1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17
    };
    private static final long EXACT = 1L << 53;
    private static final JsonFactory JSON =
            JsonFactory.builder().enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION).build();

    private final String groupKey;
    private final String numberKey;
    private final byte[] beforeGroup;
    private final byte[] beforeNumber;
    private final double minimum;
    private final double maximum;
    private final CharsetDecoder utf8 = StandardCharsets.UTF_8.newDecoder();

    /** The bytes that hold the group's name, and where in them it stands; they may be those of the record. */
    byte[] group;
    int groupStart;
    int groupEnd;
    /** The number, in units of 1e-9. */
    long units;

    private double number;
    private byte[] text;
    private int at;

    RecordParser(String groupKey, String numberKey, double minimum, double maximum) {
        this.groupKey = groupKey;
        this.numberKey = numberKey;
        this.beforeGroup = ('{' + quoted(groupKey)).getBytes(StandardCharsets.UTF_8);
        this.beforeNumber = quoted(numberKey).getBytes(StandardCharsets.UTF_8);
        this.minimum = minimum;
        this.maximum = maximum;
    }

    private static String quoted(String key) {
        return '"' + new String(JsonStringEncoder.getInstance().quoteAsString(key)) + "\":";
    }

    /** Parses a record's value. Returns VALID, or the reason why the record does not count. */
    int parse(byte[] value) {
        if (value == null) {
            return NO_VALUE;
        }
        int reason = isForwarded(value) ? VALID : parseJson(value);
        if (reason != VALID) {
            return reason;
        }
        if (!(number >= minimum && number <= maximum)) {
            return OUT_OF_RANGE;
        }
        units = (long) Math.rint(number * UNITS);
        return VALID;
    }

    // --- any JSON ------------------------------------------------------------------------------------------------

    private int parseJson(byte[] value) {
        if (value.length == 0) {
            return EMPTY;
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
            return NOT_UTF8;
        }
        // Jackson takes a byte order mark, or zero bytes, for a sign of another encoding.
        if (zero || value[0] == (byte) 0xef) {
            return NOT_JSON;
        }
        try {
            return parseJson(JSON.createParser(value), escaped);
        } catch (IOException error) {
            return NOT_JSON;
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
        JsonToken groupToken = null;
        JsonToken numberToken = null;
        String name = null;
        int depth = 0;
        String key = null;
        for (JsonToken token = root; token != null; token = parser.nextToken()) {
            if (escaped && (token == JsonToken.VALUE_STRING || token == JsonToken.FIELD_NAME)
                    && hasLoneSurrogate(parser.getText())) {
                return NOT_JSON;
            }
            if (depth == 1 && token == JsonToken.FIELD_NAME) {
                key = parser.currentName();
            } else if (depth == 1 && root == JsonToken.START_OBJECT && token != JsonToken.END_OBJECT) {
                if (groupKey.equals(key)) {
                    groupToken = token;
                    name = token == JsonToken.VALUE_STRING ? parser.getText() : null;
                } else if (numberKey.equals(key)) {
                    numberToken = token;
                    number = token.isNumeric() ? parser.getDoubleValue() : Double.NaN;
                }
            }
            if (token.isStructStart()) {
                depth++;
            } else if (token.isStructEnd()) {
                depth--;
            }
            if (depth == 0) {
                if (parser.nextToken() != null) { // The value is complete: nothing may follow.
                    return NOT_JSON;
                }
                break;
            }
        }
        parser.close();
        if (root == null) {
            return NOT_JSON;
        }
        if (root != JsonToken.START_OBJECT) {
            return NOT_AN_OBJECT;
        }
        int reason = groupReason(groupToken, name);
        if (reason != VALID) {
            return reason;
        }
        if (numberToken == null) {
            return NO_NUMBER;
        }
        return numberToken.isNumeric() ? VALID : NOT_A_NUMBER;
    }

    private int groupReason(JsonToken token, String name) {
        if (token == null) {
            return NO_GROUP;
        }
        if (name == null) {
            return GROUP_NOT_TEXT;
        }
        boolean blank = true;
        for (int i = 0; i < name.length(); i++) {
            char c = name.charAt(i);
            if (c < 0x20 || c == 0x7f) {
                return GROUP_WITH_CONTROLS;
            }
            blank &= c == 0x85 || Character.isSpaceChar(c);
        }
        if (blank) {
            return GROUP_BLANK;
        }
        if (name.codePointCount(0, name.length()) > LONGEST_GROUP) {
            return GROUP_TOO_LONG;
        }
        group = name.getBytes(StandardCharsets.UTF_8);
        groupStart = 0;
        groupEnd = group.length;
        return VALID;
    }

    private static boolean hasLoneSurrogate(String text) {
        for (int i = 0; i < text.length(); i++) {
            if (Character.isHighSurrogate(text.charAt(i))) {
                i++;
                if (i == text.length() || !Character.isLowSurrogate(text.charAt(i))) {
                    return true;
                }
            } else if (Character.isLowSurrogate(text.charAt(i))) {
                return true;
            }
        }
        return false;
    }

    // --- the form in which the platform's rule writes records: a JSON parser takes three times as long -------------

    private boolean isForwarded(byte[] value) {
        text = value;
        at = 0;
        if (!skips(beforeGroup)) {
            return false;
        }
        skips(' ');
        if (!skips('"') || !hasPlainName() || !skips('"') || !skips(',')) {
            return false;
        }
        skips(' ');
        if (!skips(beforeNumber)) {
            return false;
        }
        skips(' ');
        return hasNumber() && skips('}') && at == text.length;
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

    /** Printable ASCII without quotes and backslashes, not beginning with a space. */
    private boolean hasPlainName() {
        group = text;
        groupStart = at;
        for (int next = here(); next >= ' ' && next <= '~' && next != '"' && next != '\\'; next = here()) {
            at++;
        }
        groupEnd = at;
        return groupEnd > groupStart && groupEnd - groupStart <= LONGEST_GROUP && text[groupStart] != ' ';
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
