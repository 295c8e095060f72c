package pacifictool.aggregation.executor;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.core.io.JsonStringEncoder;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.CharsetDecoder;
import java.nio.charset.StandardCharsets;

/**
 * Zone and number of a record that leaves no room for doubt: what the platform's rule writes, or other JSON in UTF-8
 * without escapes whose zone begins with a letter or a digit. All else, valid or not, is for pipeline.py to judge.
 */
final class Reading {
    private static final double UNITS = 1e9;
    private static final int LONGEST_ZONE = 255;
    /** Powers of ten that a double holds exactly, as it does integers of 53 bits: their quotient is rounded once. */
    private static final double[] TENS = {
        1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17
    };
    private static final long EXACT = 1L << 53;
    private static final JsonFactory JSON =
            JsonFactory.builder().enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION).build();

    private final String zoneKey;
    private final String valueKey;
    private final byte[] formBeforeZone;
    private final byte[] formBeforeValue;
    private final double minimum;
    private final double maximum;
    private final CharsetDecoder utf8 = StandardCharsets.UTF_8.newDecoder();

    /** The bytes that hold the zone, and where in them it stands; they may be those of the record. */
    byte[] zone;
    int zoneStart;
    int zoneEnd;
    /** The number, in units of 1e-9. */
    long units;

    private double number;
    private byte[] text;
    private int at;

    Reading(String zoneKey, String valueKey, double minimum, double maximum) {
        this.zoneKey = zoneKey;
        this.valueKey = valueKey;
        this.formBeforeZone = ('{' + inJson(zoneKey)).getBytes(StandardCharsets.UTF_8);
        this.formBeforeValue = inJson(valueKey).getBytes(StandardCharsets.UTF_8);
        this.minimum = minimum;
        this.maximum = maximum;
    }

    private static String inJson(String key) {
        return '"' + new String(JsonStringEncoder.getInstance().quoteAsString(key)) + "\":";
    }

    /** Reads a record; false: it is not for us to judge. */
    boolean of(byte[] value) {
        if (value == null || !(hasForm(value) || isJson(value)) || !(number >= minimum && number <= maximum)) {
            return false;
        }
        units = (long) Math.rint(number * UNITS);
        return true;
    }

    // --- JSON of any shape ---------------------------------------------------------------------------------------

    private boolean isJson(byte[] value) {
        String name = null;
        number = Double.NaN;
        try {
            if (!isPlain(value)) {
                return false;
            }
            JsonParser parser = JSON.createParser(value);
            parser.nextToken();
            while (parser.nextToken() == JsonToken.FIELD_NAME) {
                String key = parser.currentName();
                JsonToken token = parser.nextToken();
                if (key.equals(zoneKey) && token == JsonToken.VALUE_STRING) {
                    name = parser.getText();
                } else if (key.equals(valueKey) && token.isNumeric()) {
                    number = parser.getDoubleValue();
                } else {
                    parser.skipChildren();
                }
            }
            if (parser.nextToken() != null) {
                return false;
            }
            parser.close();
        } catch (IOException error) {
            return false;
        }
        if (name == null || !isZone(name)) {
            return false;
        }
        zone = name.getBytes(StandardCharsets.UTF_8);
        zoneStart = 0;
        zoneEnd = zone.length;
        return true;
    }

    /** Whether Jackson and the full rules see the same: no guessing of the encoding, no names in two spellings. */
    private boolean isPlain(byte[] value) throws IOException {
        if (value.length == 0 || value[0] != '{') {
            return false;
        }
        boolean ascii = true;
        for (int i = 0; i < value.length; i++) {
            if (value[i] == 0 || value[i] == '\\') {
                return false;
            }
            ascii &= value[i] > 0;
        }
        if (!ascii) {
            utf8.decode(ByteBuffer.wrap(value));
        }
        return true;
    }

    private static boolean isZone(String name) {
        if (name.isEmpty() || !Character.isLetterOrDigit(name.codePointAt(0)) || name.length() > LONGEST_ZONE) {
            return false;
        }
        for (int i = 0; i < name.length(); i++) {
            if (Character.isISOControl(name.charAt(i))) {
                return false;
            }
        }
        return true;
    }

    // --- the platform's form, pipeline.fast_pattern as a loop: a JSON parser takes three times as long ---------------

    private boolean hasForm(byte[] value) {
        text = value;
        at = 0;
        if (!skips(formBeforeZone)) {
            return false;
        }
        skips(' ');
        if (!skips('"') || !hasZone() || !skips('"') || !skips(',')) {
            return false;
        }
        skips(' ');
        if (!skips(formBeforeValue)) {
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
    private boolean hasZone() {
        zone = text;
        zoneStart = at;
        for (int next = here(); next >= ' ' && next <= '~' && next != '"' && next != '\\'; next = here()) {
            at++;
        }
        zoneEnd = at;
        return zoneEnd > zoneStart && zoneEnd - zoneStart <= LONGEST_ZONE && text[zoneStart] != ' ';
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
