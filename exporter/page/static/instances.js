// The Instances tab, where several share the pipeline: who runs which partition since when, and what keeps one from it.

import { of, send } from "./api.js";
import { byId, make, say } from "./dom.js";
import { UNKNOWN, duration, spokenPartitions, timeOfDay, whole } from "./words.js";

/** Shows what is there only where instances share the pipeline, which the page says from the start. */
export function showShared() {
  const isShared = byId("instance").querySelector("strong").textContent !== "";
  for (const id of ["instance", "tab-instances"]) byId(id).hidden = !isShared;
}

export class InstancesTab {
  #refresh;

  /** `refresh` asks for the state anew. */
  constructor(refresh) {
    this.#refresh = refresh;
    byId("places").addEventListener("click", (event) => {
      const button = event.target.closest("button[data-partition]");
      if (button) this.#reopen(button.dataset.partition);
    });
  }

  /** Draws `/api/instances`. */
  show(state) {
    const focused = document.activeElement?.dataset?.partition;
    const pages = new Map(state.instances.map((one) => [one.name, pageOf(one)]));
    say(byId("whole"), summary(state));
    byId("places").replaceChildren(...state.partitions.map((place) => placeRow(place, pages, state)));
    byId("members").replaceChildren(...state.instances.map((one) => memberRow(one, pages)));
    // The button that had the focus is another one now.
    if (focused !== undefined) byId("places").querySelector(`button[data-partition="${CSS.escape(focused)}"]`)?.focus();
  }

  async #reopen(partition) {
    try {
      await send("POST", `api/instances/partitions/${partition}/reopen`);
      say(byId("instances-error"), "");
    } catch (error) {
      say(byId("instances-error"), error.message);
    }
    await this.#refresh();
  }
}

/** All of it in a sentence or two, the worst first. */
function summary({ partitions, instances }) {
  const told = [];
  const tell = (what, is) => {
    const numbers = partitions.filter(is).map(({ partition }) => partition);
    if (numbers.length) told.push(`${capital(spokenPartitions(numbers))} ${what(numbers.length > 1)}.`);
  };
  tell((many) => (many ? "have failed and stand still" : "has failed and stands still"), (one) => one.state === "failed");
  tell((many) => (many ? "have no owner" : "has no owner"), (one) => one.owner === null);
  tell((many) => (many ? "are being opened" : "is being opened"), (one) => ["opening", "restoring"].includes(one.state));
  tell((many) => (many ? "are being closed" : "is being closed"), (one) => one.state === "closing");
  const others = instances.filter(({ differs }) => differs.length).map(({ name }) => name);
  if (others.length) {
    const who = others.length > 1 ? `Instances ${others.join(", ")} run` : `Instance ${others[0]} runs`;
    told.push(`${who} another configuration than this one.`);
  }
  const at = instances.length > 1 ? `${instances.length} instances` : "one instance";
  const running = partitions.filter(({ state }) => state === "running").length;
  const all = running === partitions.length ? (running > 1 ? `All ${running} partitions run` : "The partition runs") : null;
  return [`${all ?? `${running} of ${partitions.length} partitions run`}, ${at} ${instances.length > 1 ? "are" : "is"} here.`, ...told].join(" ");
}

const capital = (text) => text[0].toUpperCase() + text.slice(1);

function placeRow(place, pages, { takenAt }) {
  const { partition, owner, state, since, why, restoreRemainingRows: left, restoreSecondsLeft: seconds } = place;
  const row = make("tr", {}, make("th", { scope: "row" }, String(partition)));
  row.dataset.partition = partition;
  const about = seconds === null || left === null ? null : make("small", {}, ` in about ${duration(Math.ceil(seconds))}`);
  const lasts = since === null ? UNKNOWN : `${timeOfDay(since)}, for ${duration(takenAt - since)}`;
  row.append(make("td", { class: owner === null ? "has-fault" : null }, owner === null ? "nobody" : named(owner, pages)));
  row.append(make("td", { class: state === null ? null : `state-${state}` }, state ?? UNKNOWN), make("td", {}, lasts));
  row.append(make("td", {}, whole(left), about), make("td", { class: "reason" }, why ?? ""));
  row.append(make("td", { class: "changes" }, state === "failed" || (owner === null && why !== null) ? again(partition) : null));
  return row;
}

function again(partition) {
  const button = make("button", { type: "button", "aria-label": `Try partition ${partition} again` }, "Try again");
  button.dataset.partition = partition;
  return button;
}

function memberRow(one, pages) {
  const name = make("th", { scope: "row" }, named(one.name, pages));
  if (one.isMe) name.append(make("span", { class: "own" }, " this one"));
  const differs = one.differs.length ? `differs: ${one.differs.join(", ")}` : one.isMe ? UNKNOWN : "as here";
  const row = make("tr", {}, name, make("td", {}, one.partitions.join(", ") || "none"));
  row.append(make("td", {}, timeOfDay(one.startedAt)), make("td", {}, one.version || UNKNOWN));
  row.append(make("td", { class: one.differs.length ? "has-fault" : null }, differs));
  row.append(make("td", {}, one.gateway ?? UNKNOWN));
  return row;
}

const named = (name, pages) => {
  const page = pages.get(name);
  return page ? make("a", { href: page }, name) : name;
};

/** The page of an instance, with this view open; null where it has none. What others say of themselves is no script. */
function pageOf({ management, isMe }) {
  if (isMe || !/^https?:\/\//.test(management ?? "")) return null;
  return `${management.replace(/\/$/, "")}/${of("")}#instances`;
}
