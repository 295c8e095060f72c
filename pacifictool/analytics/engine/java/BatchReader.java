package pacifictool.analytics.engine;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.apache.spark.api.java.JavaSparkContext;

/** Runs the tasks of one batch, on Spark or while that starts, and merges what they give; on the driver. */
public final class BatchReader {
    /** What PartitionReader.java tells of a range: see `_PART` in reader.py. */
    public static final int HEAD_BYTES = 45;

    private BatchReader() {}

    /**
     * Reads the ranges of `reader`, each task those whose numbers are given, one after the other. Of a partition with
     * ranges in several tasks, those behind one that was not read to its end are left out, each of which must have a task
     * of its own: they are read again in a later batch. reader.py decodes the result.
     */
    public static byte[] read(JavaSparkContext spark, PartitionReader reader, int[][] tasks) throws IOException {
        return merged(reader, spark.parallelize(Arrays.asList((Object[]) tasks), tasks.length).mapPartitions(reader).collect());
    }

    /** Does the same with threads of this JVM, which needs nothing of Spark. */
    public static byte[] readHere(PartitionReader reader, int[][] tasks, int threads) throws Exception {
        ExecutorService pool = Executors.newFixedThreadPool(threads);
        try {
            List<Future<byte[]>> running = new ArrayList<Future<byte[]>>();
            for (int i = 0; i < tasks.length; i++) {
                running.add(pool.submit(new Task(reader, tasks[i])));
            }
            List<byte[]> results = new ArrayList<byte[]>();
            for (int i = 0; i < running.size(); i++) {
                results.add((byte[]) ((Future) running.get(i)).get());
            }
            return merged(reader, results);
        } finally {
            pool.shutdownNow();
        }
    }

    private static final class Task implements Callable<byte[]> {
        private final PartitionReader reader;
        private final int[] numbers;

        Task(PartitionReader reader, int[] numbers) {
            this.reader = reader;
            this.numbers = numbers;
        }

        public Object call() throws IOException {
            return reader.call(Collections.singletonList(numbers).iterator()).next();
        }
    }

    private static byte[] merged(PartitionReader reader, List<byte[]> results) throws IOException {
        PartialAggregates merged = reader.empty();
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        DataOutputStream out = new DataOutputStream(bytes);
        ByteArrayOutputStream spans = new ByteArrayOutputStream();
        int partitionStoppedEarly = -1;
        int kept = 0;
        for (int i = 0; i < results.size(); i++) { // of a partition in the order of its ranges
            DataInputStream in = new DataInputStream(new ByteArrayInputStream((byte[]) results.get(i)));
            byte[] heads = new byte[in.readInt() * HEAD_BYTES];
            in.readFully(heads);
            ByteBuffer last = ByteBuffer.wrap(heads, heads.length - HEAD_BYTES, HEAD_BYTES);
            int partition = last.getInt();
            if (partition == partitionStoppedEarly) {
                continue;
            }
            boolean stoppedEarly = last.get(last.position() + 16) != 0;
            partitionStoppedEarly = stoppedEarly ? partition : -1;
            out.write(heads);
            kept += heads.length / HEAD_BYTES;
            merged.merge(in);
            spans.write(in.readAllBytes());
        }
        ByteArrayOutputStream whole = new ByteArrayOutputStream();
        DataOutputStream result = new DataOutputStream(whole);
        result.writeInt(kept);
        bytes.writeTo(result);
        merged.writeColumns(result);
        spans.writeTo(result); // up to the end
        return whole.toByteArray();
    }
}
