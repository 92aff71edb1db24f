package jobs;

import java.util.concurrent.*;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.typeinfo.*;
import org.apache.flink.api.connector.source.util.ratelimit.*;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.connector.datagen.source.*;
import org.apache.flink.runtime.jobgraph.JobGraph;
import org.apache.flink.runtime.minicluster.*;
import org.apache.flink.streaming.api.datastream.*;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.sink.v2.DiscardingSink;
import org.apache.flink.streaming.api.functions.source.SourceFunction;
import org.apache.flink.streaming.api.graph.StreamGraph;

/** Flink 1.20 (busy, idle and back-pressured time from timers). Arguments: jobs, seconds of a phase, key=value... */
public class Modern {
    /** The old kind of source: the busy time of its task is NaN. */
    public static class LegacySource implements SourceFunction<Long> {
        private volatile boolean running = true;

        @Override
        public void run(SourceContext<Long> context) {
            for (long i = 0; running; i++) {
                synchronized (context.getCheckpointLock()) {
                    context.collect(i);
                }
            }
        }

        @Override
        public void cancel() {
            running = false;
        }
    }

    static RateLimiterStrategy bursts(long phaseSeconds) {
        return parallelism -> new RateLimiter() {
            private final Parts.Burst burst = new Parts.Burst(phaseSeconds);

            @Override
            public CompletionStage<Void> acquire() {
                long wait = burst.take();
                return wait <= 0
                        ? CompletableFuture.completedFuture(null)
                        : CompletableFuture.runAsync(
                                () -> {}, CompletableFuture.delayedExecutor(wait, TimeUnit.NANOSECONDS));
            }
        };
    }

    static <T> DataStream<T> source(
            StreamExecutionEnvironment env, GeneratorFunction<Long, T> f, RateLimiterStrategy rate, TypeInformation<T> type) {
        return env.fromSource(
                        new DataGeneratorSource<>(f, Long.MAX_VALUE, rate, type), WatermarkStrategy.noWatermarks(), "flights")
                .setParallelism(1);
    }

    static <T> void finish(DataStream<T> flights, String task, TypeInformation<T> type, long millis, int parallelism) {
        flights.map(new Parts.Work<T>(millis)).returns(type).name(task).setParallelism(parallelism)
                .rebalance().sinkTo(new DiscardingSink<T>()).name("archive").setParallelism(1);
    }

    static JobGraph job(String name, long phaseSeconds) {
        StreamExecutionEnvironment env = StreamExecutionEnvironment.getExecutionEnvironment();
        env.disableOperatorChaining();
        TypeInformation<byte[]> bytes = PrimitiveArrayTypeInfo.BYTE_PRIMITIVE_ARRAY_TYPE_INFO;
        if (name.equals("pushed-back") || name.equals("calm")) {
            env.enableCheckpointing(10_000);
            env.getCheckpointConfig().setTolerableCheckpointFailureNumber(Integer.MAX_VALUE);
        }
        switch (name) {
            case "pushed-back":
                finish(source(env, i -> i, RateLimiterStrategy.perSecond(5000), Types.LONG).rebalance(),
                        "parse", Types.LONG, 5, 2);
                break;
            case "calm":
                finish(source(env, i -> i, RateLimiterStrategy.perSecond(100), Types.LONG).rebalance(),
                        "parse", Types.LONG, 1, 1);
                break;
            case "legacy":
                finish(env.addSource(new LegacySource(), "flights").setParallelism(1).rebalance(),
                        "parse", Types.LONG, 2, 1);
                break;
            case "skewed":
                finish(source(env, i -> i, RateLimiterStrategy.perSecond(5000), Types.LONG).keyBy(new Parts.SkewedKey()),
                        "count", Types.LONG, 2, 4);
                break;
            case "bursty":
                finish(source(env, i -> new byte[Parts.BURST_BYTES], bursts(phaseSeconds), bytes).rebalance(),
                        "parse", bytes, 5, 1);
                break;
            default:
                throw new IllegalArgumentException("no job " + name);
        }
        StreamGraph graph = env.getStreamGraph();
        graph.setJobName(name);
        return graph.getJobGraph();
    }

    static void start(String[] args) throws Exception {
        Configuration settings = new Configuration();
        for (int i = 2; i < args.length; i++) {
            String[] pair = args[i].split("=", 2);
            settings.setString(pair[0], pair[1]);
        }
        MiniCluster cluster = new MiniCluster(new MiniClusterConfiguration.Builder()
                .setConfiguration(settings).setNumTaskManagers(1).setNumSlotsPerTaskManager(12)
                .setRpcServiceSharing(RpcServiceSharing.SHARED).build());
        cluster.start();
        for (String name : args[0].split(",")) {
            JobGraph graph = job(name, Long.parseLong(args[1]));
            cluster.submitJob(graph).get();
            System.out.println("JOB " + name + " " + graph.getJobID());
        }
    }

    public static void main(String[] args) throws Exception {
        try {
            start(args);
        } catch (Throwable error) {
            error.printStackTrace();
            System.exit(1); // threads of Flink would keep it alive
        }
        Thread.currentThread().join();
    }
}
