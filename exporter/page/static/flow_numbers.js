// The four numbers and the charts of flow control, for one partition or all together.

import { Chart, FLOW, writesOf } from "./chart.js";
import { byId, make } from "./dom.js";
import { whole } from "./words.js";
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
    // A sum beside a sum hides the one that is in trouble: of all, the worst is told, and which that is.
    const numbers = value === ALL ? history.partitionNumbers() : [];
    tell("backlog", worst(history, numbers, BACKLOG, largest) ?? { columns }, BACKLOG, "records", "acceptable");
    tell("limit", worst(history, numbers, LIMIT, smallest) ?? { columns }, LIMIT, "records/s", "at most");
    tell("rate", { columns }, ["exportingRatePerSecond"], "records/s");
    const throttled = last("throttled") === 1;
    const text = throttled ? "throttled" : "not throttled";
    byId("throttle").replaceChildren(make("span", { class: throttled ? "is-throttled" : null }, text));
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

const BACKLOG = ["backlogRecords", "acceptableBacklogRecords"];
const LIMIT = ["writeLimitPerSecond", "writeLimitMaxPerSecond"];
const largest = (a, b) => a > b;
const smallest = (a, b) => a < b;
const lastOf = (columns, name) => columns?.[name]?.at(-1) ?? null;

/** `{number, columns}` of the partition whose value is the worst share of its bound; null where there is one alone. */
function worst(history, numbers, [name, bound], isWorse) {
  if (numbers.length < 2) return null;
  let found = null;
  for (const number of numbers) {
    const columns = history.ofPartition(number);
    const [value, of] = [lastOf(columns, name), lastOf(columns, bound)];
    if (value === null) continue;
    const share = of ? value / of : value;
    if (found === null || isWorse(share, found.share)) found = { number, columns, share };
  }
  return found;
}

function tell(id, { columns, number }, [name, ofName], unit, ofBound = "") {
  const [value, bound] = [lastOf(columns, name), ofName === undefined ? null : lastOf(columns, ofName)];
  const small = make("small", {}, value === null ? "" : ` ${unit}`);
  if (value !== null && bound !== null) small.append(`, ${ofBound} ${whole(bound)}`);
  if (value !== null && number !== undefined) small.append(` on partition ${number}`);
  byId(id).replaceChildren(whole(value), small);
}
