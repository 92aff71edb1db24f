// Loads the history once, then follows the events; after a gap that the server cannot fill, loads it again.

import { of } from "./api.js";

const RETRY_MS = 2000;
// Samples come each second. Without one for so long, what is shown is no longer how things are.
const SILENCE_MS_MAX = 5000;

/**
 * Calls `loaded` with the whole history, `sampled` with each sample after it, `lost` with a sentence when the
 * engine is away and with null when it is back. Runs as long as the page.
 */
export function follow({ loaded, sampled, lost }) {
  let events = null;
  let lastHeard = 0;
  let isLost = false;

  const heard = () => {
    lastHeard = performance.now();
    if (isLost) lost(null);
    isLost = false;
  };
  const miss = (sentence) => {
    isLost = true;
    lost(sentence);
  };
  const again = (delay) => {
    events?.close();
    events = null;
    setTimeout(load, delay);
  };

  async function load() {
    let history;
    try {
      const answer = await fetch(of("api/history"), { cache: "no-store" });
      if (!answer.ok) throw new Error(`the server answers ${answer.status}`);
      history = await answer.json();
    } catch (error) {
      miss(`No data: ${error.message}. Trying again.`);
      setTimeout(load, RETRY_MS);
      return;
    }
    heard();
    loaded(history);
    listen(history.lastEventId);
  }

  function listen(newest) {
    events = new EventSource(of(`api/events?lastEventId=${encodeURIComponent(newest)}`));
    events.addEventListener("sample", (event) => {
      heard();
      sampled(JSON.parse(event.data));
    });
    events.addEventListener("reset", () => again(0));
    events.addEventListener("error", () => {
      miss("The connection is lost. Trying again.");
      // A browser comes back by itself unless the server refused it.
      if (events?.readyState === EventSource.CLOSED) again(RETRY_MS);
    });
  }

  setInterval(() => {
    const isSilent = performance.now() - lastHeard > SILENCE_MS_MAX;
    if (events && !isLost && isSilent) miss("The engine is silent. Waiting for it.");
  }, 1000);
  load();
}
