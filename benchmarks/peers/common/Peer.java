import java.io.BufferedOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** What the Java peers share: their tasks, and the lines of JSON that benchmarks/engines/engine.py describes. */
final class Peer {
    record Task(String topic, long records) {}

    /** A zone, and the end of a window in milliseconds since the epoch. */
    record Place(String zone, long endMs) {}

    record Mean(long count, double value) {}

    final String bootstrap;
    final long windowMs;
    final List<Task> tasks = new ArrayList<>();

    /** Arguments: bootstrap servers, milliseconds of a window, then topic and number of records of each task. */
    Peer(String[] arguments) {
        bootstrap = arguments[0];
        windowMs = Long.parseLong(arguments[1]);
        for (int i = 2; i < arguments.length; i += 2) {
            tasks.add(new Task(arguments[i], Long.parseLong(arguments[i + 1])));
        }
    }

    long endOf(long timestampMs) {
        return timestampMs - timestampMs % windowMs + windowMs;
    }

    /** The next thing is to read. */
    void ready() {
        System.out.println("{\"event\": \"ready\"}");
        System.out.flush();
    }

    /** All means are known. The first line comes at once; writing the means out is not part of what is measured. */
    void report(long records, long beganNanos, Map<Place, Mean> means) {
        double seconds = (System.nanoTime() - beganNanos) / 1e9;
        System.out.println("{\"event\": \"done\"}");
        System.out.flush();
        PrintStream out = new PrintStream(new BufferedOutputStream(System.out, 1 << 16), false, StandardCharsets.UTF_8);
        out.print("{\"event\": \"report\", \"records\": " + records + ", \"seconds\": " + seconds + ", \"means\": [");
        String separator = "";
        for (Map.Entry<Place, Mean> entry : means.entrySet()) {
            out.print(separator + "[\"" + entry.getKey().zone() + "\", " + entry.getKey().endMs() + ", "
                    + entry.getValue().count() + ", " + entry.getValue().value() + "]");
            separator = ", ";
        }
        out.print("]}\n");
        out.flush();
    }
}
