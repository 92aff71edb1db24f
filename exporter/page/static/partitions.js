// The limits of each partition as they stand, and the times in which they were held down.

import { byId, make } from "./dom.js";
import { mean } from "./history.js";
import { duration, rate, timeOfDay, whole } from "./words.js";
import { writersIn } from "./writes.js";

// Rates by source are means of so many seconds.
const SAMPLES = 5;
// The newest are enough for a table; the API has all of them.
const EPISODES_MAX = 20;

/** Draws `/api/flow-control`; the history knows who wrote how much. */
export function showPartitions({ partitions }, history) {
  const rows = Object.entries(partitions).map(([number, { effective }]) =>
    partitionRow(number, effective, history.ofPartition(Number(number)) ?? {}),
  );
  byId("partitions").replaceChildren(...rows);
}

function partitionRow(number, effective, columns) {
  const row = make("tr", {}, make("th", { scope: "row" }, number));
  row.dataset.partition = number;
  if (effective === null) {
    row.append(make("td", { colspan: 7 }, "not running"));
    return row;
  }
  const { writeLimit, writeLimitMax } = effective;
  const limit = writeLimit === null ? "none" : `${rate(writeLimit)} of ${rate(writeLimitMax)}`;
  const accepted = make("td", {}, rate(effective.writeRate), bySource(columns));
  const backlog = ofBound(effective.backlog, effective.acceptableBacklog);
  const inFlight = ofBound(effective.requestsInFlight, effective.requestLimit);
  const state = make("span", { class: effective.throttled ? "is-throttled" : null }, limit);
  row.append(make("td", {}, state), make("td", {}, rate(effective.exportingRate)), accepted);
  row.append(make("td", {}, backlog), make("td", {}, inFlight), make("td", {}, whole(effective.waitingWriters)));
  row.append(make("td", { class: "reason" }, effective.reason ?? ""));
  return row;
}

const ofBound = (value, bound) => (bound === null ? whole(value) : `${whole(value)} of ${whole(bound)}`);

function bySource(columns) {
  const recently = (column) => rate(mean(columns[column].slice(-SAMPLES)));
  const items = writersIn(columns).map(({ label, column }) => make("li", {}, `${label} ${recently(column)}`));
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
