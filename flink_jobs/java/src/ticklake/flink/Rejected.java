package ticklake.flink;

/** A record that breaks a rule: a code for counting, a sentence for a person. */
final class Rejected extends Exception {

    private static final long serialVersionUID = 1L;
    private static final int SHOWN = 120;

    final String code;

    Rejected(String code, String message) {
        super(message, null, false, false); // no stack trace: a poison flood must stay cheap
        this.code = code;
    }

    static Rejected of(String code, String field, String found, String allowed) {
        String shown = found.length() > SHOWN ? found.substring(0, SHOWN) + "..." : found;
        return new Rejected(code, field + " is " + shown + "; " + allowed);
    }
}
