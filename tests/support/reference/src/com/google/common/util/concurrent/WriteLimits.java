package com.google.common.util.concurrent;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.concurrent.TimeUnit;

/**
 * Guava's RateLimiter on a clock that is set by hand; in its package, because the clock can be set nowhere else.
 *
 * Lines in: new RATE RAMP_UP_US | at MICROS | acquire RECORDS | rate RATE. Out, for each acquire: 1 granted, 0 refused.
 */
public final class WriteLimits {
    private static final double COLD_FACTOR = 3.0;

    private static final class Clock extends RateLimiter.SleepingStopwatch {
        long micros;

        @Override
        protected long readMicros() {
            return micros;
        }

        @Override
        protected void sleepMicrosUninterruptibly(long duration) {
            micros += duration;
        }
    }

    public static void main(String[] arguments) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        StringBuilder out = new StringBuilder();
        Clock clock = new Clock();
        RateLimiter limiter = null;
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            String[] words = line.split(" ");
            switch (words[0]) {
                case "new" -> {
                    clock = new Clock();
                    double rate = Double.parseDouble(words[1]);
                    long rampUp = Long.parseLong(words[2]);
                    limiter = rampUp == 0
                        ? RateLimiter.create(rate, clock)
                        : RateLimiter.create(rate, rampUp, TimeUnit.MICROSECONDS, COLD_FACTOR, clock);
                }
                case "at" -> clock.micros = Long.parseLong(words[1]);
                case "acquire" -> out.append(limiter.tryAcquire(Integer.parseInt(words[1])) ? "1\n" : "0\n");
                case "rate" -> limiter.setRate(Double.parseDouble(words[1]));
                default -> throw new IllegalArgumentException(line);
            }
        }
        System.out.print(out);
    }
}
