// Keeps one document of the API fresh: never two requests for it at once, and no answer older than the one before.

import { ask } from "./api.js";

export class Poll {
  // Why the last answer did not come; null when it did.
  failure = null;
  #path;
  #got;
  #asked;
  #isUnderWay = false;
  #wanted = false;

  /** `got` is called with each answer, `asked` after each attempt, whatever came of it. */
  constructor(path, got, asked) {
    this.#path = path;
    this.#got = got;
    this.#asked = asked;
  }

  /** Asks now, or once more after the answer that is under way. */
  async now() {
    if (this.#isUnderWay) {
      this.#wanted = true;
      return;
    }
    this.#isUnderWay = true;
    try {
      do {
        this.#wanted = false;
        await this.#got(await ask(this.#path));
        this.failure = null;
      } while (this.#wanted);
    } catch (error) {
      this.failure = error;
    } finally {
      this.#isUnderWay = false;
      this.#asked();
    }
  }
}
