// The limits of each partition as they stand, and the times in which they were held down.

import { byId, make } from "./dom.js";
import { recent } from "./history.js";
import { duration, rate, timeOfDay, whole } from "./words.js";
import { writersIn } from "./writes.js";

// The newest are enough for a table; the API has all of them.
const EPISODES_MAX = 20;

/**
 * Draws the history, of the same moment and the same seconds as all else on the page; `/api/flow-control` knows who runs
 * and why a limit is what it is.
 */
export function showPartitions({ partitions }, history) {
  const rows = Object.entries(partitions).map(([number, state]) =>
    partitionRow(number, state, history.ofPartition(Number(number)) ?? {}),
  );
  byId("partitions").replaceChildren(...rows);
}

function partitionRow(number, { effective, owner }, columns) {
  const row = make("tr", {}, make("th", { scope: "row" }, number));
  row.dataset.partition = number;
  if (effective === null) {
    row.append(make("td", { colspan: 7 }, owner ? `runs at instance ${owner}` : "not running"));
    return row;
  }
  const now = (name) => columns[name]?.at(-1) ?? null;
  const [writeLimit, writeLimitMax] = [now("writeLimitPerSecond"), now("writeLimitMaxPerSecond")];
  const limit = writeLimit === null ? "none" : `${rate(writeLimit)} of ${rate(writeLimitMax)}`;
  const accepted = make("td", {}, rate(recent(columns.acceptedPerSecond)), bySource(columns));
  const backlog = ofBound(now("backlogRecords"), now("acceptableBacklogRecords"));
  const inFlight = ofBound(now("requestsInFlight"), now("requestLimit"));
  const state = make("span", { class: now("throttled") === 1 ? "is-throttled" : null }, limit);
  row.append(make("td", {}, state), make("td", {}, rate(now("exportingRatePerSecond"))), accepted);
  row.append(make("td", {}, backlog), make("td", {}, inFlight), make("td", {}, whole(now("waitingWriters"))));
  row.append(make("td", { class: "reason" }, effective.reason ?? ""));
  return row;
}

const ofBound = (value, bound) => (bound === null ? whole(value) : `${whole(value)} of ${whole(bound)}`);

function bySource(columns) {
  const items = writersIn(columns).map(({ label, column }) => make("li", {}, `${label} ${rate(recent(columns[column]))}`));
  return items.length ? make("ul", { class: "by-source" }, ...items) : null;
}

/** Draws `/api/throttling/episodes`, the newest first. */
export function showEpisodes({ episodes }) {
  const newest = episodes.slice(-EPISODES_MAX).reverse();
  const rows = newest.map((episode) => {
    const { partition, start, end, throttledSeconds, lowestLimit, peakBacklog, reason } = episode;
    const cells = [timeOfDay(start), end === null ? "goes on" : timeOfDay(end), duration(throttledSeconds)];
    cells.push(rate(lowestLimit), whole(peakBacklog));
    const row = make("tr", { class: end === null ? "goes-on" : null }, make("th", { scope: "row" }, String(partition)));
    row.append(...cells.map((text) => make("td", {}, text)), make("td", { class: "reason" }, reason));
    return row;
  });
  const none = make("tr", {}, make("td", { colspan: 7 }, "none so far"));
  byId("episodes").replaceChildren(...(rows.length ? rows : [none]));
}
