// The four numbers and the charts of flow control, for one partition or all together.

import { Chart, FLOW, writesOf } from "./chart.js";
import { byId, make, say } from "./dom.js";
import { isLess, isMore } from "./history.js";
import { spokenPartitions, whole } from "./words.js";
import { writersIn } from "./writes.js";

const ALL = "all";
const WRITES_HEIGHT = 200;

export class FlowNumbers {
  #choice = byId("partition");
  #chart = new Chart(byId("chart"), FLOW);
  // One line a source; another set of sources is another chart.
  #writes = null;
  #writers = "";

  /** `chosen` is called when the reader picks another partition. */
  constructor(chosen) {
    this.#choice.addEventListener("change", chosen);
  }

  show(history) {
    this.#offer(history.partitionNumbers());
    const value = this.#choice.value;
    const columns = value === ALL || !value ? history.total() : history.ofPartition(Number(value));
    if (!columns) return;
    const last = (name) => columns[name]?.at(-1) ?? null;
    const ofAll = value === ALL && history.partitionNumbers().length > 1;
    // A sum beside a sum hides the one that is in trouble: of all, the worst is told, and which that is.
    const now = ([name, bound], isWorse) =>
      ofAll ? history.worst(name, bound, isWorse) : { value: last(name), bound: last(bound) };
    tell("backlog", now(["backlogRecords", "acceptableBacklogRecords"], isMore), "records", "acceptable");
    tell("limit", now(["writeLimitPerSecond", "writeLimitMaxPerSecond"], isLess), "records/s", "at most");
    tell("rate", { value: last("exportingRatePerSecond") }, ofAll ? "records/s in all" : "records/s");
    const throttled = last("throttled") === 1;
    const which = ofAll && throttled ? `, ${spokenPartitions(history.throttled()?.partitions ?? [])}` : "";
    const text = throttled ? "throttled" : "not throttled";
    const small = make("small", {}, which);
    byId("throttle").replaceChildren(make("span", { class: throttled ? "is-throttled" : null }, text), small);
    say(byId("charted"), ofAll ? "; lines add up all partitions" : "");
    this.#chart.show(history.times, columns, columns.throttled);
    this.#showWrites(history.times, columns);
  }

  #showWrites(times, columns) {
    const sources = writersIn(columns);
    const writers = sources.map(({ column }) => column).join();
    if (writers !== this.#writers) {
      this.#writes?.close();
      this.#writes = sources.length ? new Chart(byId("writes-chart"), writesOf(sources), WRITES_HEIGHT) : null;
      this.#writers = writers;
    }
    this.#writes?.show(times, columns, columns.throttled);
  }

  #offer(numbers) {
    const offered = [...this.#choice.options].slice(1).map((option) => Number(option.value));
    if (this.#choice.options.length && numbers.join() === offered.join()) return;
    const before = this.#choice.value;
    const options = numbers.map((number) => new Option(String(number), String(number)));
    this.#choice.replaceChildren(new Option("all", ALL), ...options);
    this.#choice.value = numbers.includes(Number(before)) ? before : ALL;
    byId("choice").hidden = numbers.length < 2;
  }
}

/** A number of one partition; of all, that of the worst, and which that is. */
function tell(id, found, unit, ofBound = "") {
  const small = make("small", {}, found === null || found.value === null ? "" : ` ${unit}`);
  if (found?.value !== null && found?.bound) small.append(`, ${ofBound} ${whole(found.bound)}`);
  if (found?.number !== undefined) small.append(` on partition ${found.number}`);
  byId(id).replaceChildren(whole(found?.value), small);
}
