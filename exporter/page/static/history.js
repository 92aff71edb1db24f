// The last fifteen minutes of every partition and every task, one value a time in each column.

import { Columns } from "./columns.js";

export class History {
  times = [];
  state = null;
  #span = 900;
  #partitions = new Columns();
  #tasks = new Columns();

  replace(document) {
    this.times = [];
    this.#partitions.clear();
    this.#tasks.clear();
    this.append(document);
  }

  /** Adds what is later than what is there. */
  append(document) {
    this.state = document.state;
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
  }

  partitionNumbers() {
    return this.#partitions.keys().sort((a, b) => a - b);
  }

  ofPartition(number) {
    return this.#partitions.of(number);
  }

  ofTask(id) {
    return this.#tasks.of(id);
  }

  /** All partitions together: sums, and throttled where one of them is. */
  total() {
    const all = this.#partitions.all();
    if (all.length < 2) return all[0];
    const total = {};
    for (const name of Object.keys(all[0])) {
      const together = name === "throttled" || name === "oldestUnexportedSeconds" ? larger : sum;
      total[name] = this.times.map((_, i) => all.map((columns) => columns[name][i]).reduce(together));
    }
    return total;
  }

  /** When the throttling that lasts began, as far back as is kept; null while there is none. */
  throttledSince() {
    const all = this.#partitions.all();
    let since = null;
    for (let i = this.times.length - 1; i >= 0; i--) {
      if (!all.some((columns) => columns.throttled[i] === 1)) break;
      since = this.times[i];
    }
    return since;
  }

  #forget() {
    const surplus = this.times.length - this.#span;
    if (surplus <= 0) return;
    this.times.splice(0, surplus);
    this.#partitions.forget(surplus);
    this.#tasks.forget(surplus);
  }
}

const sum = (a, b) => (a === null ? b : b === null ? a : a + b);
const larger = (a, b) => (a === null ? b : b === null ? a : Math.max(a, b));
