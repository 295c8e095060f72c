package pacifictool.analytics.engine;

/** Which texts can name a group, and with it an entity of the platform. */
public final class Texts {
    /* Public, because Janino looks constants up from outside. */
    public static final int LONGEST = 255;

    private Texts() {}

    /** VALID, or why the text cannot name a group. */
    static int stateOf(String value) {
        if (value == null) {
            return Reason.NOT_A_TEXT;
        }
        boolean blank = true;
        for (int i = 0; i < value.length(); i++) {
            char c = value.charAt(i);
            if (c < 0x20 || c == 0x7f) {
                return Reason.TEXT_WITH_CONTROLS;
            }
            blank &= c == 0x85 || Character.isSpaceChar(c);
        }
        if (blank) {
            return Reason.TEXT_BLANK;
        }
        return value.codePointCount(0, value.length()) > LONGEST ? Reason.TEXT_TOO_LONG : Reason.VALID;
    }

    /** Whether the text holds half of a surrogate pair, which no UTF-8 can express. */
    static boolean hasLoneSurrogate(String text) {
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
}
