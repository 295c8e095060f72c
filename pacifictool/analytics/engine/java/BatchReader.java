package pacifictool.analytics.engine;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import org.apache.spark.api.java.JavaSparkContext;

/** Runs the tasks of one batch and merges what they give; on the driver. */
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
        List<byte[]> results = spark.parallelize(numbers, count).mapPartitions(reader).collect();
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
        merged.writeColumns(result);
        spans.writeTo(result); // up to the end
        return whole.toByteArray();
    }
}
