// Numbers, shares, times and durations as a reader wants them. Unknown is a dash, never a zero.

export const UNKNOWN = "–";

const isKnown = (value) => value !== null && value !== undefined && !Number.isNaN(value);
const wholes = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });

export const whole = (value) => (isKnown(value) ? wholes.format(value) : UNKNOWN);
export const bytes = (count) => {
  if (!isKnown(count)) return UNKNOWN;
  const unit = ["B", "kB", "MB", "GB", "TB"].findIndex((_, i, units) => count < 1000 ** (i + 1) || i === units.length - 1);
  return `${(count / 1000 ** unit).toFixed(unit === 0 ? 0 : 1)} ${["B", "kB", "MB", "GB", "TB"][unit]}`;
};
export const rate = (value) => (isKnown(value) ? `${wholes.format(value)}/s` : UNKNOWN);
export const percent = (share) => (isKnown(share) ? `${Math.round(share * 100)}%` : UNKNOWN);
export const ratio = (share) => (isKnown(share) ? share.toFixed(2) : UNKNOWN);
export const timeOfDay = (seconds) => (isKnown(seconds) ? clock.format(seconds * 1000) : UNKNOWN);

/** As Flink writes durations: the two largest units. */
export function duration(seconds) {
  if (!isKnown(seconds)) return UNKNOWN;
  if (seconds > 0 && seconds < 1) return `${Math.round(seconds * 1000)}ms`;
  const s = Math.floor(Math.max(0, seconds));
  if (s < 60) return `${s}s`;
  if (s < 3600) return `${Math.floor(s / 60)}m ${s % 60}s`;
  return `${Math.floor(s / 3600)}h ${Math.floor((s % 3600) / 60)}m`;
}

/** `partition 2`, `partitions 1, 3`; of more than are read at a glance only how many, `17 partitions`. */
export const spokenPartitions = (numbers) =>
  numbers.length > 4 ? `${numbers.length} partitions` : `partition${numbers.length > 1 ? "s" : ""} ${numbers.join(", ")}`;

/** `write_limit` as `write limit`. */
export const spoken = (name) => name.replaceAll("_", " ");
