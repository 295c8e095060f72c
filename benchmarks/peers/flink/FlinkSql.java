import java.time.LocalDateTime;
import java.time.ZoneOffset;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.flink.api.common.RuntimeExecutionMode;
import org.apache.flink.api.common.functions.MapFunction;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.sink.v2.DiscardingSink;
import org.apache.flink.table.api.Table;
import org.apache.flink.table.api.bridge.java.StreamTableEnvironment;
import org.apache.flink.types.Row;

/** Flink SQL over the bounded topic in batch mode, in which it aggregates in two steps, before and after the shuffle. */
public class FlinkSql {
    static final Map<Peer.Place, Peer.Mean> MEANS = new ConcurrentHashMap<>();

    public static class Keep implements MapFunction<Row, Long> {
        @Override
        public Long map(Row row) {
            long end = ((LocalDateTime) row.getField(1)).toInstant(ZoneOffset.UTC).toEpochMilli();
            MEANS.put(
                    new Peer.Place((String) row.getField(0), end),
                    new Peer.Mean((Long) row.getField(2), (Double) row.getField(3)));
            return end;
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
            env.setRuntimeMode(RuntimeExecutionMode.BATCH);
            env.getConfig().enableObjectReuse();
            StreamTableEnvironment tables = StreamTableEnvironment.create(env);
            tables.getConfig().setLocalTimeZone(ZoneOffset.UTC);
            tables.executeSql(
                    """
                    CREATE TABLE readings (
                        geoZone STRING, windSpeed DOUBLE, ts TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL,
                        WATERMARK FOR ts AS ts - INTERVAL '1' SECOND
                    ) WITH (
                        'connector' = 'kafka', 'topic' = '%s', 'properties.bootstrap.servers' = '%s',
                        'properties.max.poll.records' = '10000', 'properties.max.partition.fetch.bytes' = '4194304',
                        'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset',
                        'format' = 'json'
                    )"""
                            .formatted(task.topic(), peer.bootstrap));
            Table means = tables.sqlQuery(
                    """
                    SELECT geoZone, window_end, COUNT(*), AVG(windSpeed)
                    FROM TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '%s' SECONDS)
                    GROUP BY geoZone, window_start, window_end"""
                            .formatted(peer.windowMs / 1000));
            tables.toDataStream(means).map(new Keep()).sinkTo(new DiscardingSink<>());
            env.execute();
            peer.report(task.records(), began, MEANS);
        }
        System.exit(0);
    }
}
