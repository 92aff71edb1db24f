// Who is to blame, in sentences: with the rates that show it, and since when writes are held back for it.

import { SAMPLES, recent } from "./history.js";
import { rate, spoken, timeOfDay } from "./words.js";

/** The sentences for the bottleneck of `/api/back-pressure`, which may be null; `tasks` are those of the same answer. */
export function explained(bottleneck, tasks, history) {
  const throttled = history.throttled();
  const task = tasks.find(({ id }) => id === bottleneck?.id);
  const limited = throttled && limitOf(throttled, history);
  const why = bottleneck === null ? null : `${bottleneck.text}.`;
  // An exporter that is to blame as a whole is no slow one: somebody holds it.
  const isHeld = task?.kind === "exporter" && bottleneck.subtask === null;
  if (isHeld) return [why, limited && `Writes are ${limited}.`].filter(Boolean).join(" ");
  if (throttled && task?.kind === "exporter") {
    return `Exporter ${task.task} ${exported(throttled, history)}; writes are ${limited}. ${why}`;
  }
  const taken = task ? `${named(task)} takes ${rate(takenBy(task, history))}.` : null;
  return [taken, why, limited && `Writes are ${limited}.`].filter(Boolean).join(" ");
}

/** What reaches the exporters now, and what was written before the throttle set in, where that is still known. */
function exported({ partitions, from }, history) {
  const end = history.times.length;
  const now = history.mean(partitions, "acknowledgedPerSecond", end - SAMPLES, end);
  const before = history.mean(partitions, "acceptedPerSecond", from - SAMPLES, from);
  return `writes ${rate(now)}${before === null ? "" : `, ${rate(before)} were produced before`}`;
}

function limitOf({ partitions, from }, history) {
  const end = history.times.length;
  const limit = history.mean(partitions, "writeLimitPerSecond", end - 1, end);
  const where = partitions.length < history.partitionNumbers().length ? ` on partition ${partitions.join(", ")}` : "";
  // What began before the history does began some time earlier.
  const since = from === 0 ? "since before" : "since";
  return `limited to ${rate(limit)}${where} ${since} ${timeOfDay(history.times[from])}`;
}

const takenBy = ({ id }, history) => recent(history.ofTask(id)?.recordsInPerSecond);
/** `Processor totals`; what is called as what it is, is not called so twice. */
function named({ kind, task }) {
  const what = capital(spoken(kind));
  return spoken(kind) === task.replaceAll("-", " ") ? what : `${what} ${task}`;
}

const capital = (words) => words.charAt(0).toUpperCase() + words.slice(1);
