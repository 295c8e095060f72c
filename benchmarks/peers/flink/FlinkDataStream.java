import java.time.Duration;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.AggregateFunction;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.sink.v2.DiscardingSink;
import org.apache.flink.streaming.api.functions.windowing.ProcessWindowFunction;
import org.apache.flink.streaming.api.windowing.assigners.TumblingEventTimeWindows;
import org.apache.flink.streaming.api.windowing.windows.TimeWindow;
import org.apache.flink.util.Collector;

/**
 * Flink's DataStream API: two slots, objects reused, incremental aggregation, a watermark for each partition. Without
 * checkpoints: unlike our job's state, nothing of it outlives the process.
 */
public class FlinkDataStream {
    /** The sink: all tasks are in this JVM. */
    static final Map<Peer.Place, Peer.Mean> MEANS = new ConcurrentHashMap<>();

    public static class Add implements AggregateFunction<Reading, Tuple2<Long, Double>, Tuple2<Long, Double>> {
        @Override
        public Tuple2<Long, Double> createAccumulator() {
            return Tuple2.of(0L, 0.0);
        }

        @Override
        public Tuple2<Long, Double> add(Reading reading, Tuple2<Long, Double> sum) {
            sum.f0 += 1;
            sum.f1 += reading.value;
            return sum;
        }

        @Override
        public Tuple2<Long, Double> getResult(Tuple2<Long, Double> sum) {
            return sum;
        }

        @Override
        public Tuple2<Long, Double> merge(Tuple2<Long, Double> one, Tuple2<Long, Double> other) {
            return Tuple2.of(one.f0 + other.f0, one.f1 + other.f1);
        }
    }

    public static class Keep extends ProcessWindowFunction<Tuple2<Long, Double>, Long, String, TimeWindow> {
        @Override
        public void process(
                String zone, Context context, Iterable<Tuple2<Long, Double>> sums, Collector<Long> collector) {
            Tuple2<Long, Double> sum = sums.iterator().next();
            MEANS.put(new Peer.Place(zone, context.window().getEnd()), new Peer.Mean(sum.f0, sum.f1 / sum.f0));
        }
    }

    public static void main(String[] arguments) throws Exception {
        Peer peer = new Peer(arguments);
        peer.ready();
        for (Peer.Task task : peer.tasks) {
            long began = System.nanoTime();
            MEANS.clear();
            StreamExecutionEnvironment env =
                    StreamExecutionEnvironment.createLocalEnvironment(2, new Configuration());
            env.getConfig().enableObjectReuse();
            KafkaSource<Reading> source = KafkaSource.<Reading>builder()
                    .setBootstrapServers(peer.bootstrap)
                    .setTopics(task.topic())
                    .setStartingOffsets(OffsetsInitializer.earliest())
                    .setBounded(OffsetsInitializer.latest())
                    .setValueOnlyDeserializer(new Reading.Schema())
                    .setProperty("max.poll.records", "10000")
                    .setProperty("max.partition.fetch.bytes", "4194304")
                    .build();
            env.fromSource(source, WatermarkStrategy.forBoundedOutOfOrderness(Duration.ofSeconds(1)), "readings")
                    .keyBy(reading -> reading.zone)
                    .window(TumblingEventTimeWindows.of(Duration.ofMillis(peer.windowMs)))
                    .aggregate(new Add(), new Keep())
                    .sinkTo(new DiscardingSink<>());
            env.execute();
            peer.report(task.records(), began, MEANS);
        }
        System.exit(0);
    }
}
