// The last fifteen minutes of every partition and every task, one value a time in each column.

import { Columns } from "./columns.js";

// Every rate on the page is a mean of so many samples, as the shares of the tasks are: what is compared is of one time.
export const SAMPLES = 10;

export class History {
  times = [];
  state = null;
  // How the pipeline is, in a word and in a sentence.
  condition = null;
  because = null;
  // `{connections, recordsPerSecond}`; null where there is none.
  gateway = null;
  #span = 900;
  #partitions = new Columns();
  #tasks = new Columns();
  // Of the samples that are there; undefined where it is to be added up.
  #total;

  replace(document) {
    this.times = [];
    this.#total = undefined;
    this.#partitions.clear();
    this.#tasks.clear();
    this.append(document);
  }

  /** Adds what is later than what is there. */
  append(document) {
    this.state = document.state;
    this.condition = document.condition;
    this.because = document.because;
    this.gateway = document.gateway ?? null;
    this.#span = document.spanSeconds;
    const newest = this.times.at(-1) ?? -Infinity;
    const first = document.times.findIndex((time) => time > newest);
    if (first < 0) return;
    const held = this.times.length;
    const count = document.times.length - first;
    this.times.push(...document.times.slice(first));
    this.#partitions.append(new Map(document.partitions.map((p) => [p.partition, p])), first, count, held);
    this.#tasks.append(new Map(document.vertices.map((v) => [v.id, v])), first, count, held);
    this.#forget();
    this.#total = undefined;
  }

  partitionNumbers() {
    return this.#partitions.keys().sort((a, b) => a - b);
  }

  /** Those that are there now: the others have been within the span. */
  partitionsNow() {
    const isThere = (number) => Object.values(this.ofPartition(number)).some((column) => (column.at(-1) ?? null) !== null);
    return this.partitionNumbers().filter(isThere);
  }

  ofPartition(number) {
    return this.#partitions.of(number);
  }

  ofTask(id) {
    return this.#tasks.of(id);
  }

  /** All partitions together: sums, and throttled where one of them is. */
  total() {
    this.#total ??= this.#summed();
    return this.#total;
  }

  #summed() {
    const all = this.#partitions.all();
    if (all.length < 2) return all[0];
    const total = {};
    for (const name of Object.keys(all[0])) {
      const together = name === "throttled" || name === "oldestUnexportedSeconds" ? larger : sum;
      total[name] = this.times.map((_, i) => all.map((columns) => columns[name][i]).reduce(together));
    }
    return total;
  }

  /** `{partitions, from}` of the throttling that lasts, `from` an index of `times`; null while there is none. */
  throttled() {
    const begun = this.partitionNumbers().map((number) => [number, this.#throttledFrom(number)]);
    const held = begun.filter(([, from]) => from < this.times.length);
    if (!held.length) return null;
    return { partitions: held.map(([number]) => number), from: Math.min(...held.map(([, from]) => from)) };
  }

  /** The sum over some partitions of the mean of a column between two indices; null where nothing is known. */
  mean(partitions, name, from, to) {
    const means = partitions.map((number) => mean(this.ofPartition(number)[name].slice(Math.max(0, from), to)));
    return means.reduce(sum, null);
  }

  /**
   * `{number, value, bound}` of the partition that is in most trouble by a column, such as the share of the backlog that is
   * acceptable; `isWorse` compares two shares. Null where nothing is known.
   */
  worst(name, boundName, isWorse) {
    let found = null;
    for (const number of this.partitionNumbers()) {
      const columns = this.ofPartition(number);
      const [value, bound] = [columns[name].at(-1) ?? null, columns[boundName].at(-1) ?? null];
      if (value === null) continue;
      const share = bound ? value / bound : value;
      if (found === null || isWorse(share, found.share)) found = { number, value, bound, share };
    }
    return found;
  }

  #throttledFrom(number) {
    const { throttled } = this.ofPartition(number);
    let from = throttled.length;
    while (from > 0 && throttled[from - 1] === 1) from--;
    return from;
  }

  #forget() {
    const surplus = this.times.length - this.#span;
    if (surplus <= 0) return;
    this.times.splice(0, surplus);
    this.#partitions.forget(surplus);
    this.#tasks.forget(surplus);
  }
}

/** Of the last seconds; null where nothing is known. */
export const recent = (column) => mean((column ?? []).slice(-SAMPLES));

export const isMore = (a, b) => a > b;
export const isLess = (a, b) => a < b;

/** Of the values that are known; null where none is. */
export function mean(values) {
  const known = values.filter((value) => value !== null && value !== undefined);
  return known.length ? known.reduce((a, b) => a + b) / known.length : null;
}

const sum = (a, b) => (a === null ? b : b === null ? a : a + b);
const larger = (a, b) => (a === null ? b : b === null ? a : Math.max(a, b));
