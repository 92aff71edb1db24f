package jobs;

import javassist.*;
import org.apache.flink.api.common.typeinfo.*;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.runtime.jobgraph.JobGraph;
import org.apache.flink.runtime.minicluster.*;
import org.apache.flink.streaming.api.datastream.*;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.sink.DiscardingSink;
import org.apache.flink.streaming.api.functions.source.SourceFunction;
import org.apache.flink.streaming.api.graph.StreamGraph;

/** Flink 1.9 (back pressure from stack samples). Arguments: jobs, seconds of a phase, key=value... */
public class Classic {
    abstract static class Source<T> implements SourceFunction<T> {
        private volatile boolean running = true;

        /** Before each record. */
        void pause() throws Exception {}

        abstract T record(long number);

        @Override
        public void run(SourceContext<T> context) throws Exception {
            for (long i = 0; running; i++) {
                pause();
                synchronized (context.getCheckpointLock()) {
                    context.collect(record(i));
                }
            }
        }

        @Override
        public void cancel() {
            running = false;
        }
    }

    /** Numbers, with a pause before each. */
    public static class Numbers extends Source<Long> {
        private final long millis;

        Numbers(long millis) {
            this.millis = millis;
        }

        @Override
        void pause() throws Exception {
            if (millis > 0) {
                Thread.sleep(millis);
            }
        }

        @Override
        Long record(long number) {
            return number;
        }
    }

    public static class Bursts extends Source<byte[]> {
        private final long phaseSeconds;
        private transient Parts.Burst burst;

        Bursts(long phaseSeconds) {
            this.phaseSeconds = phaseSeconds;
        }

        @Override
        void pause() throws Exception {
            if (burst == null) {
                burst = new Parts.Burst(phaseSeconds);
            }
            long wait = burst.take();
            if (wait > 0) {
                Thread.sleep(wait / 1_000_000, (int) (wait % 1_000_000));
            }
        }

        @Override
        byte[] record(long number) {
            return new byte[Parts.BURST_BYTES];
        }
    }

    static <T> DataStream<T> source(StreamExecutionEnvironment env, Source<T> source, TypeInformation<T> type) {
        return env.addSource(source, "flights", type).setParallelism(1);
    }

    static <T> void finish(DataStream<T> flights, String task, TypeInformation<T> type, long millis, int parallelism) {
        flights.map(new Parts.Work<T>(millis)).returns(type).name(task).setParallelism(parallelism)
                .rebalance().addSink(new DiscardingSink<T>()).name("archive").setParallelism(1);
    }

    static JobGraph job(String name, long phaseSeconds) {
        StreamExecutionEnvironment env = StreamExecutionEnvironment.getExecutionEnvironment();
        env.getConfig().disableClosureCleaner(); // it cannot read classes of Java 17
        env.disableOperatorChaining();
        TypeInformation<byte[]> bytes = PrimitiveArrayTypeInfo.BYTE_PRIMITIVE_ARRAY_TYPE_INFO;
        if (name.equals("calm")) {
            env.enableCheckpointing(10_000);
        }
        switch (name) {
            case "pushed-back":
                finish(source(env, new Numbers(0), Types.LONG).rebalance(), "parse", Types.LONG, 5, 2);
                break;
            case "calm":
                finish(source(env, new Numbers(10), Types.LONG).rebalance(), "parse", Types.LONG, 1, 1);
                break;
            case "skewed":
                finish(source(env, new Numbers(0), Types.LONG).keyBy(new Parts.SkewedKey()), "count", Types.LONG, 2, 4);
                break;
            case "bursty":
                finish(source(env, new Bursts(phaseSeconds), bytes).rebalance(), "parse", bytes, 5, 1);
                break;
            default:
                throw new IllegalArgumentException("no job " + name);
        }
        StreamGraph graph = env.getStreamGraph();
        graph.setJobName(name);
        return graph.getJobGraph();
    }

    /** Flink 1.9 lets its RPC and blob ports listen on all addresses; no setting changes that. */
    static void listenOnLoopbackOnly() throws Exception {
        ClassPool pool = new ClassPool(true);
        pool.appendClassPath(new ClassClassPath(Classic.class));
        CtClass net = pool.get("org.apache.flink.util.NetUtils");
        net.getDeclaredMethod("getWildcardIPAddress").setBody("return \"127.0.0.1\";");
        net.getDeclaredMethod("createSocketFromPorts").setBody(
                "return new java.net.ServerSocket(((Integer) $1.next()).intValue(), 1000,"
                        + " java.net.InetAddress.getLoopbackAddress());");
        net.toClass();
    }

    static void start(String[] args) throws Exception {
        listenOnLoopbackOnly();
        Configuration settings = new Configuration();
        for (int i = 2; i < args.length; i++) {
            String[] pair = args[i].split("=", 2);
            settings.setString(pair[0], pair[1]);
        }
        MiniCluster cluster = new MiniCluster(new MiniClusterConfiguration.Builder()
                .setConfiguration(settings).setNumTaskManagers(1).setNumSlotsPerTaskManager(12).build());
        cluster.start();
        for (String name : args[0].split(",")) {
            JobGraph graph = job(name, Long.parseLong(args[1]));
            graph.setAllowQueuedScheduling(true);
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
