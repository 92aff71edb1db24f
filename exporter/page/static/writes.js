// Accepted writes by partition and source, as rates between two readings of the metrics.

const LINE = /^penstock_writes_total\{(.*)\} (\S+)/gm;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;
const INTERVAL_MS = 4000;

export class Writes {
  #before = null;
  #rates = new Map();
  #isUnderWay = false;

  /** Reads the metrics, if the last reading is old enough. */
  async refresh() {
    const now = performance.now();
    if (this.#isUnderWay || (this.#before && now - this.#before.at < INTERVAL_MS)) return;
    this.#isUnderWay = true;
    try {
      const answer = await fetch("metrics", { headers: { Accept: "text/plain" }, cache: "no-store" });
      if (answer.ok) this.#take(await answer.text(), performance.now());
    } catch {
      // Who is away is told elsewhere; the next reading starts anew.
      this.#before = null;
      this.#rates = new Map();
    } finally {
      this.#isUnderWay = false;
    }
  }

  /** `[source, records a second]` of a partition; nothing before the second reading. */
  rates(partition) {
    return this.#rates.get(partition) ?? [];
  }

  #take(text, at) {
    const counts = accepted(text);
    const rates = new Map();
    for (const [key, count] of this.#before ? counts : []) {
      const grown = count - (this.#before.counts.get(key) ?? count);
      const [partition, source] = key.split(" ");
      if (grown <= 0) continue;
      const perSecond = grown / ((at - this.#before.at) / 1000);
      rates.set(Number(partition), [...(rates.get(Number(partition)) ?? []), [source, perSecond]]);
    }
    this.#rates = rates;
    this.#before = { at, counts };
  }
}

function accepted(text) {
  const counts = new Map();
  for (const [, written, value] of text.matchAll(LINE)) {
    const labels = Object.fromEntries([...written.matchAll(LABEL)].map(([, name, content]) => [name, content]));
    if (labels.outcome === "accepted") counts.set(`${labels.partition} ${labels.source}`, Number(value));
  }
  return counts;
}
