// The Exporting tab: how far each record exporter is on each partition, and holding one.

import { send } from "./api.js";
import { byId, make, say } from "./dom.js";
import { SAMPLES } from "./history.js";
import { UNKNOWN, duration, rate, timeOfDay, whole } from "./words.js";

// Two answers in quick succession tell nothing of a rate.
const APART_SECONDS = 0.5;
// Rates are of so many seconds, as all on the page.
const WINDOW_SECONDS = SAMPLES;

export class ExportingTab {
  #refresh;
  // Answers of the last seconds, the oldest first.
  #before = [];
  // Records acknowledged a second, by partition and exporter.
  #rates = new Map();
  #asked = null;

  /** `refresh` asks for the state anew. */
  constructor(refresh) {
    this.#refresh = refresh;
    byId("exporters").addEventListener("click", (event) => {
      const button = event.target.closest("button[data-exporter]");
      if (button) this.#ask(button.dataset.exporter, button.dataset.action);
    });
    byId("confirm").addEventListener("close", (event) => {
      if (event.target.returnValue === "yes") this.#change(...this.#asked);
    });
  }

  /** Draws `/api/exporters`. */
  show(state) {
    const focused = document.activeElement?.dataset?.exporter;
    this.#measure(state);
    const rows = state.exporters.flatMap((exporter) => this.#rows(exporter));
    const none = make("tr", {}, make("td", { colspan: 10 }, "there are no record exporters"));
    byId("exporters").replaceChildren(...(rows.length ? rows : [none]));
    say(byId("held"), state.exporters.flatMap(held).join(" "));
    // The button that had the focus is another one now.
    const again = [...byId("exporters").querySelectorAll("button")].find((each) => each.dataset.exporter === focused);
    if (focused !== undefined) again?.focus();
  }

  /** Draws `/api/rejects`: what tasks have set aside, here and in front of the log. */
  showRejects(state) {
    const told = state.rejects.map(({ task, count, oldestAt }) => {
      const since = oldestAt === null ? "" : ` (the oldest for ${duration(state.takenAt - oldestAt)})`;
      return `${task} ${whole(count)}${since}`;
    });
    say(byId("rejects"), told.length ? `Set aside and kept: ${told.join(", ")}.` : "Nothing is set aside.");
  }

  #rows(exporter) {
    return exporter.partitions.map((part, i) => {
      const row = make("tr");
      row.dataset.exporter = exporter.exporter;
      row.dataset.partition = part.partition;
      const span = { rowspan: exporter.partitions.length, scope: "row" };
      if (i === 0) row.append(make("th", span, exporter.exporter));
      const failed = part.lastError === null ? UNKNOWN : `${timeOfDay(part.lastErrorAt)}: ${part.lastError}`;
      const cells = [
        String(part.partition),
        part.state,
        `${whole(part.acknowledgedPosition)} of ${whole(part.lastWrittenPosition)}`,
        whole(part.backlog),
        part.backlog === 0 ? UNKNOWN : duration(part.oldestUnexportedAgeSeconds),
        rate(this.#rates.get(keyOf(part, exporter))),
        `${whole(part.errors)}, ${whole(part.retries)} retries`,
        failed,
      ].map((text) => make("td", {}, text));
      cells[1].className = `state-${part.state}`;
      cells.at(-1).className = "said";
      row.append(...cells);
      if (i === 0) row.append(make("td", { rowspan: exporter.partitions.length, class: "changes" }, action(exporter)));
      return row;
    });
  }

  /** Rates since an answer before; positions rise by one. */
  #measure(state) {
    const now = positions(state);
    const last = this.#before.at(-1);
    if (last && now.takenAt >= last.takenAt && now.takenAt - last.takenAt < APART_SECONDS) return;
    // A position or a clock that went back is that of another engine.
    if (last && !isLater(now, last)) this.#before = [];
    this.#before = this.#before.filter(({ takenAt }) => now.takenAt - takenAt <= WINDOW_SECONDS + APART_SECONDS);
    const first = this.#before[0];
    const seconds = first ? now.takenAt - first.takenAt : 0;
    const since = (key, position) => (position - first?.acknowledged.get(key)) / seconds;
    const grown = [...now.acknowledged].map(([key, position]) => [key, since(key, position)]);
    this.#rates = new Map(grown.filter(([, perSecond]) => seconds > 0 && perSecond >= 0));
    this.#before.push(now);
  }

  #ask(name, action) {
    const dialog = byId("confirm");
    const consequence =
      action === "pause"
        ? "Its backlog grows, and writes are held back when it is too long. A pause holds until it is resumed."
        : "It goes on where it stopped.";
    say(byId("question"), `${action === "pause" ? "Pause" : "Resume"} ${name}? ${consequence}`);
    dialog.returnValue = "no";
    this.#asked = [name, action];
    dialog.showModal();
  }

  async #change(name, action) {
    try {
      await send("POST", `api/exporters/${encodeURIComponent(name)}/${action}`);
      say(byId("exporting-error"), "");
    } catch (error) {
      say(byId("exporting-error"), error.message);
    }
    await this.#refresh();
  }
}

/** Who holds it since when; nothing where nobody does. */
function held({ exporter, partitions }) {
  const pause = partitions.find((part) => part.pause !== null)?.pause;
  if (!pause) return [];
  const by = pause.by === null ? "" : ` by ${pause.by}`;
  const what = pause.soft ? "exports, and acknowledges nothing: softly paused" : "is paused";
  return [`${exporter} ${what}${by} since ${timeOfDay(pause.since)}.`];
}

function action(exporter) {
  const name = exporter.partitions.some((part) => part.pause !== null) ? "resume" : "pause";
  const button = make("button", { type: "button" }, name === "pause" ? "Pause" : "Resume");
  button.dataset.exporter = exporter.exporter;
  button.dataset.action = name;
  button.setAttribute("aria-label", `${button.textContent} ${exporter.exporter}`);
  return button;
}

const keyOf = ({ partition }, { exporter }) => `${partition} ${exporter}`;

const isLater = (now, before) =>
  now.takenAt >= before.takenAt &&
  [...now.acknowledged].every(([key, position]) => position >= (before.acknowledged.get(key) ?? 0));

function positions(state) {
  const entries = state.exporters.flatMap((exporter) =>
    exporter.partitions.map((part) => [keyOf(part, exporter), part.acknowledgedPosition]),
  );
  return { takenAt: state.takenAt, acknowledged: new Map(entries) };
}
