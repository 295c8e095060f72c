package pacifictool.analytics.engine;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import org.apache.spark.HashPartitioner;
import org.apache.spark.api.java.JavaPairRDD;
import org.apache.spark.api.java.JavaRDD;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.api.python.PythonFunction;
import org.apache.spark.api.python.PythonRDD;
import scala.Tuple2;

/** Brings the calls of functions and their readings to Python workers, and back what these make of them; on the driver. */
public final class FunctionTasks {
    private FunctionTasks() {}

    /**
     * Gives the frames that the workers return, each after its length.
     *
     * @param calls by number of their series: a frame, each after its length
     * @param function gets the frames of some series, all of a series after one another, the call among them
     */
    public static byte[] run(
            JavaSparkContext spark, ReadingsReader reader, byte[] calls, PythonFunction function, int partitions)
            throws IOException {
        JavaPairRDD frames = spark.parallelizePairs(framesOf(calls), 1);
        int ranges = reader.ranges();
        if (ranges > 0) {
            List<Integer> numbers = new ArrayList<Integer>();
            for (int number = 0; number < ranges; number++) {
                numbers.add(Integer.valueOf(number));
            }
            frames = frames.union(spark.parallelize(numbers, ranges).mapPartitionsToPair(reader));
        }
        JavaRDD sorted = frames.repartitionAndSortWithinPartitions(new HashPartitioner(partitions)).values();
        List<byte[]> outcomes = new PythonRDD(sorted.rdd(), function, false, false).asJavaRDD().collect();
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        DataOutputStream out = new DataOutputStream(bytes);
        for (int i = 0; i < outcomes.size(); i++) {
            byte[] outcome = (byte[]) outcomes.get(i);
            out.writeInt(outcome.length);
            out.write(outcome);
        }
        return bytes.toByteArray();
    }

    private static List<Tuple2<Integer, byte[]>> framesOf(byte[] calls) throws IOException {
        List<Tuple2<Integer, byte[]>> frames = new ArrayList<Tuple2<Integer, byte[]>>();
        DataInputStream in = new DataInputStream(new ByteArrayInputStream(calls));
        for (int number = 0; in.available() > 0; number++) {
            byte[] frame = new byte[in.readInt()];
            in.readFully(frame);
            frames.add(new Tuple2(Integer.valueOf(number), frame));
        }
        return frames;
    }
}
