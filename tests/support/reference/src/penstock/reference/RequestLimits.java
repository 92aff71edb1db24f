package penstock.reference;

import com.netflix.concurrency.limits.Limit;
import com.netflix.concurrency.limits.limit.AIMDLimit;
import com.netflix.concurrency.limits.limit.FixedLimit;
import com.netflix.concurrency.limits.limit.Gradient2Limit;
import com.netflix.concurrency.limits.limit.GradientLimit;
import com.netflix.concurrency.limits.limit.VegasLimit;
import com.netflix.concurrency.limits.limit.WindowedLimit;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.concurrent.TimeUnit;

/**
 * Netflix' limits as they are. Lines in: new NAME ARGUMENTS [windowed] | sample START_NS RTT_NS IN_FLIGHT DROPPED.
 * Out, for each sample: the limit after it.
 */
public final class RequestLimits {
    public static void main(String[] arguments) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        StringBuilder out = new StringBuilder();
        Limit limit = null;
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            String[] words = line.split(" ");
            if (words[0].equals("new")) {
                limit = named(words);
                if (words[words.length - 1].equals("windowed")) {
                    limit = WindowedLimit.newBuilder().build(limit);
                }
            } else {
                limit.onSample(
                    Long.parseLong(words[1]),
                    Long.parseLong(words[2]),
                    Integer.parseInt(words[3]),
                    words[4].equals("1"));
                out.append(limit.getLimit()).append('\n');
            }
        }
        System.out.print(out);
    }

    private static Limit named(String[] words) {
        return switch (words[1]) {
            case "aimd" -> AIMDLimit.newBuilder()
                .initialLimit(whole(words[2]))
                .minLimit(whole(words[3]))
                .maxLimit(whole(words[4]))
                .backoffRatio(Double.parseDouble(words[5]))
                .timeout(Long.parseLong(words[6]), TimeUnit.NANOSECONDS)
                .build();
            case "fixed" -> FixedLimit.of(whole(words[2]));
            case "vegas" -> VegasLimit.newBuilder()
                .alpha(whole(words[2]))
                .beta(whole(words[3]))
                .initialLimit(whole(words[4]))
                .probeMultiplier(whole(words[5]))
                .build();
            case "legacy_vegas" -> legacyVegas(
                whole(words[2]), whole(words[3]), Double.parseDouble(words[4]), Double.parseDouble(words[5]),
                whole(words[6]));
            case "gradient" -> GradientLimit.newBuilder()
                .minLimit(whole(words[2]))
                .initialLimit(whole(words[3]))
                .rttTolerance(Double.parseDouble(words[4]))
                .build();
            case "gradient2" -> Gradient2Limit.newBuilder()
                .minLimit(whole(words[2]))
                .initialLimit(whole(words[3]))
                .rttTolerance(Double.parseDouble(words[4]))
                .longWindow(whole(words[5]))
                .build();
            default -> throw new IllegalArgumentException(words[1]);
        };
    }

    /** The first Vegas of the model system: Netflix' with bounds that are shares of the limit, and steps of ln. */
    private static Limit legacyVegas(int initial, int max, double alpha, double beta, int probeMultiplier) {
        return VegasLimit.newBuilder()
            .initialLimit(initial)
            .maxConcurrency(max)
            .alpha(limit -> Math.max(3, (int) (limit * alpha)))
            .beta(limit -> Math.max(6, (int) (limit * beta)))
            .increase(limit -> limit + Math.log(limit))
            .decrease(limit -> limit - Math.log(limit))
            .probeMultiplier(probeMultiplier)
            .build();
    }

    private static int whole(String word) {
        return Integer.parseInt(word);
    }
}
