// Things that come and go, each with columns of one length; null is unknown.

export class Columns {
  #things = new Map();

  clear() {
    this.#things.clear();
  }

  /** Adds the values from `first` on of `told`, by key, after `held` rows; who is not told of is unknown there. */
  append(told, first, count, held) {
    for (const [key, thing] of told) {
      if (this.#things.has(key)) continue;
      this.#things.set(key, { columns: unknown(Object.keys(thing.columns), held) });
    }
    for (const [key, { columns }] of this.#things) {
      const more = told.get(key)?.columns;
      for (const [name, column] of Object.entries(columns)) {
        column.push(...(more?.[name]?.slice(first) ?? Array(count).fill(null)));
      }
    }
  }

  forget(rows) {
    for (const [key, { columns }] of this.#things) {
      for (const column of Object.values(columns)) column.splice(0, rows);
      // Gone for the whole span.
      if (Object.values(columns).every((column) => column.every((value) => value === null))) this.#things.delete(key);
    }
  }

  keys() {
    return [...this.#things.keys()];
  }

  of(key) {
    return this.#things.get(key)?.columns;
  }

  all() {
    return [...this.#things.values()].map((thing) => thing.columns);
  }
}

const unknown = (names, length) => Object.fromEntries(names.map((name) => [name, Array(length).fill(null)]));
