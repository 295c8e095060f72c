package pacifictool.analytics.engine;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.apache.spark.api.java.JavaSparkContext;

/** Runs the tasks of one batch, on Spark or while that starts, and merges what they give; on the driver. */
public final class BatchReader {
    private BatchReader() {}

    /**
     * Reads all ranges of `reader`. Of a partition whose task stopped early, the ranges behind it are left out: they are
     * read again in a later batch. reader.py decodes the result.
     */
    public static byte[] read(JavaSparkContext spark, PartitionReader reader) throws IOException {
        int count = reader.ranges();
        List<Integer> numbers = new ArrayList<Integer>();
        for (int number = 0; number < count; number++) {
            numbers.add(Integer.valueOf(number));
        }
        return merged(reader, spark.parallelize(numbers, count).mapPartitions(reader).collect());
    }

    /** Does the same with threads of this JVM, which needs nothing of Spark. */
    public static byte[] readHere(PartitionReader reader, int threads) throws Exception {
        ExecutorService pool = Executors.newFixedThreadPool(threads);
        try {
            List<Future<byte[]>> running = new ArrayList<Future<byte[]>>();
            for (int number = 0; number < reader.ranges(); number++) {
                running.add(pool.submit(new Task(reader, number)));
            }
            List<byte[]> results = new ArrayList<byte[]>();
            for (int number = 0; number < running.size(); number++) {
                results.add((byte[]) ((Future) running.get(number)).get());
            }
            return merged(reader, results);
        } finally {
            pool.shutdownNow();
        }
    }

    private static final class Task implements Callable<byte[]> {
        private final PartitionReader reader;
        private final int number;

        Task(PartitionReader reader, int number) {
            this.reader = reader;
            this.number = number;
        }

        public Object call() throws IOException {
            return reader.call(Collections.singletonList(Integer.valueOf(number)).iterator()).next();
        }
    }

    private static byte[] merged(PartitionReader reader, List<byte[]> results) throws IOException {
        PartialAggregates merged = reader.empty();
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        DataOutputStream out = new DataOutputStream(bytes);
        ByteArrayOutputStream spans = new ByteArrayOutputStream();
        int partitionStoppedEarly = -1;
        int kept = 0;
        for (int i = 0; i < results.size(); i++) { // in the order of their numbers
            DataInputStream in = new DataInputStream(new ByteArrayInputStream((byte[]) results.get(i)));
            int partition = in.readInt();
            if (partition == partitionStoppedEarly) {
                continue;
            }
            out.writeInt(partition);
            out.writeLong(in.readLong());
            out.writeLong(in.readLong());
            boolean stoppedEarly = in.readBoolean();
            out.writeLong(in.readLong());
            out.writeLong(in.readLong());
            out.writeLong(in.readLong());
            partitionStoppedEarly = stoppedEarly ? partition : -1;
            merged.merge(in);
            spans.write(in.readAllBytes());
            kept++;
        }
        ByteArrayOutputStream whole = new ByteArrayOutputStream();
        DataOutputStream result = new DataOutputStream(whole);
        result.writeInt(kept);
        bytes.writeTo(result);
        merged.write(result);
        spans.writeTo(result); // up to the end
        return whole.toByteArray();
    }
}
