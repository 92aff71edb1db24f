// The limits of each partition as they stand, and the times in which they were held down.

import { byId, make } from "./dom.js";
import { duration, rate, spoken, timeOfDay, whole } from "./words.js";

// The newest are enough for a table; the API has all of them.
const EPISODES_MAX = 20;

/** Draws `/api/flow-control`; `writes` knows who wrote how much. */
export function showPartitions({ partitions }, writes) {
  const rows = Object.entries(partitions).map(([number, { effective }]) => partitionRow(number, effective, writes));
  byId("partitions").replaceChildren(...rows);
}

function partitionRow(number, effective, writes) {
  const row = make("tr", {}, make("th", { scope: "row" }, number));
  row.dataset.partition = number;
  if (effective === null) {
    row.append(make("td", { colspan: 7 }, "not running"));
    return row;
  }
  const { writeLimit, writeLimitMax } = effective;
  const limit = writeLimit === null ? "none" : `${rate(writeLimit)} of ${rate(writeLimitMax)}`;
  const accepted = make("td", {}, rate(effective.writeRate), bySource(writes.rates(Number(number))));
  const backlog = ofBound(effective.backlog, effective.acceptableBacklog);
  const inFlight = ofBound(effective.requestsInFlight, effective.requestLimit);
  const state = make("span", { class: effective.throttled ? "is-throttled" : null }, limit);
  row.append(make("td", {}, state), make("td", {}, rate(effective.exportingRate)), accepted);
  row.append(make("td", {}, backlog), make("td", {}, inFlight), make("td", {}, whole(effective.waitingWriters)));
  row.append(make("td", { class: "reason" }, effective.reason ?? ""));
  return row;
}

const ofBound = (value, bound) => (bound === null ? whole(value) : `${whole(value)} of ${whole(bound)}`);

function bySource(rates) {
  const items = rates.map(([source, perSecond]) => make("li", {}, `${spoken(source)} ${rate(perSecond)}`));
  return items.length ? make("ul", { class: "by-source" }, ...items) : null;
}

/** Draws `/api/throttling/episodes`, the newest first. */
export function showEpisodes({ episodes }) {
  const newest = episodes.slice(-EPISODES_MAX).reverse();
  const rows = newest.map((episode) => {
    const { partition, start, end, throttledSeconds, lowestLimit, peakBacklog } = episode;
    const reason = `the backlog rose to ${whole(peakBacklog)} records, so writes were held to ${rate(lowestLimit)}`;
    const cells = [timeOfDay(start), end === null ? "goes on" : timeOfDay(end), duration(throttledSeconds)];
    cells.push(rate(lowestLimit), whole(peakBacklog), reason);
    const row = make("tr", { class: end === null ? "goes-on" : null }, make("th", { scope: "row" }, String(partition)));
    row.append(...cells.map((text) => make("td", { class: text === reason ? "reason" : null }, text)));
    return row;
  });
  const none = make("tr", {}, make("td", { colspan: 7 }, "none so far"));
  byId("episodes").replaceChildren(...(rows.length ? rows : [none]));
}
