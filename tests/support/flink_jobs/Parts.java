package jobs;

import org.apache.flink.api.common.functions.MapFunction;
import org.apache.flink.api.java.functions.KeySelector;

/** What the jobs of both Flink versions are made of. */
public final class Parts {
    private Parts() {}

    /** So large that few records fit into the buffers: a burst is over soon after its source calms down. */
    static final int BURST_BYTES = 4096;

    static final long CALM_NANOS = 20_000_000;

    /** A slow task: sleeps for each record. */
    public static class Work<T> implements MapFunction<T, T> {
        private final long millis;

        Work(long millis) {
            this.millis = millis;
        }

        @Override
        public T map(T record) throws Exception {
            Thread.sleep(millis);
            return record;
        }
    }

    /** 19 of 20 records have one key. */
    public static class SkewedKey implements KeySelector<Long, Long> {
        @Override
        public Long getKey(Long record) {
            return record % 20 == 0 ? record : -1L;
        }
    }

    /** When the next record may go: 50 a second in the calm phases (the first is one), as fast as it can in the others. */
    static class Burst {
        private final long phaseNanos;
        private final long began = System.nanoTime();
        private long next = began;

        Burst(long phaseSeconds) {
            phaseNanos = phaseSeconds * 1_000_000_000L;
        }

        /** Nanoseconds to wait before one more record; 0: none. */
        long take() {
            long now = System.nanoTime();
            if ((now - began) / phaseNanos % 2 != 0) {
                return 0;
            }
            long at = Math.max(next, now);
            next = at + CALM_NANOS;
            return at - now;
        }
    }
}
