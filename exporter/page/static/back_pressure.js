// The Back Pressure tab: one row a task; a click measures it anew and opens its subtasks and its history.

import { ask, send } from "./api.js";
import { Chart, TASK } from "./chart.js";
import { make, say } from "./dom.js";
import { duration, percent, ratio, spoken } from "./words.js";

const HISTORY_HEIGHT = 200;
const SHARES = "Backpressured / Idle / Busy";
const SUBTASK_HEADS = ["Subtask", "Ratio", "Interval", SHARES, "Waits for", "Longest wait", "Status"];
const NOT_RUNNING = "Task is not running. Cannot sample back pressure.";

export class BackPressureTab {
  #body;
  #mayChange;
  #refresh;
  #rows = new Map();
  #state = null;

  /** `mayChange` promises whether the reader may start a measurement; `refresh` asks for the state anew. */
  constructor(body, { mayChange, refresh }) {
    this.#body = body;
    this.#mayChange = mayChange;
    this.#refresh = refresh;
  }

  /** Draws `/api/back-pressure`. */
  show(state, history) {
    this.#state = state;
    const ids = state.tasks.map((task) => task.id);
    if (ids.join() !== [...this.#rows.keys()].join()) this.#build(state.tasks);
    for (const task of state.tasks) this.#rows.get(task.id).show(task, state);
    this.showHistory(history);
  }

  /** Draws the history of the open tasks alone. */
  showHistory(history) {
    for (const [id, row] of this.#rows) row.showHistory(history, id);
  }

  /** Opens a task's row and measures it; where the reader stands goes along. */
  async open(id) {
    const row = this.#rows.get(id);
    if (!row) return;
    row.open();
    await this.#measure(id);
    row.reveal();
  }

  /** Where tasks are measured when somebody looks, an open row is a look. */
  look() {
    if (this.#state?.sampler?.mode !== "on-demand") return;
    for (const [id, row] of this.#rows) if (row.isOpen) this.#look(id);
  }

  #build(tasks) {
    for (const row of this.#rows.values()) row.close();
    this.#rows = new Map(tasks.map((task) => [task.id, new Row(task, () => this.#toggle(task.id))]));
    this.#body.replaceChildren(...[...this.#rows.values()].flatMap((row) => row.elements));
  }

  #toggle(id) {
    const row = this.#rows.get(id);
    if (row.isOpen) row.close();
    else this.open(id);
  }

  async #measure(id) {
    try {
      if (await this.#mayChange()) await send("POST", `api/back-pressure/${id}/sample`);
      else await this.#look(id);
      await this.#refresh();
    } catch (error) {
      this.#rows.get(id)?.fail(error.message);
    }
  }

  #look(id) {
    return ask(`jobs/${this.#state.jobId}/vertices/${id}/backpressure`).catch(() => null);
  }
}

class Row {
  #button;
  #status = make("td");
  #details = make("div", { class: "details" });
  #second;
  #measured = make("span");
  #measuring = make("span", { class: "level level-high", role: "status", hidden: true });
  #level = make("span");
  #problem = make("p", { class: "problem", role: "alert", hidden: true });
  #fold;
  #subtasks = make("tbody");
  #table;
  #place = make("div", { class: "task-chart", role: "img" });
  #chart = null;

  constructor(task, clicked) {
    this.#button = make("button", { type: "button", class: "row-name", "aria-expanded": "false" }, task.task);
    this.#fold = make("button", { type: "button", class: "fold" }, "Hide subtasks");
    this.#fold.addEventListener("click", () => this.#toggleSubtasks());
    const head = make("tr", {}, ...SUBTASK_HEADS.map((text) => make("th", { scope: "col" }, text)));
    this.#table = make("div", { class: "scroll" }, make("table", {}, make("thead", {}, head), this.#subtasks));
    this.#place.setAttribute("aria-label", `Busy, idle and back-pressured time of ${task.task}, last fifteen minutes`);
    const line = make("p", { class: "measurement" }, "Measurement: ", this.#measured, this.#measuring);
    line.append(make("span", { class: "divider" }), "Back Pressure Status: ", this.#level, this.#fold);
    this.#details.append(line, this.#problem, this.#table, this.#place);
    const first = make("tr", { class: "row" }, make("td", {}, this.#button));
    first.append(make("td", {}, spoken(task.kind)), make("td", {}, String(task.parallelism)), this.#status);
    first.addEventListener("click", clicked);
    first.dataset.task = task.id;
    this.#second = make("tr", { class: "opened", hidden: true }, make("td", { colspan: 4 }, this.#details));
    this.elements = [first, this.#second];
  }

  get isOpen() {
    return !this.#second.hidden;
  }

  open() {
    this.#second.hidden = false;
    this.#button.setAttribute("aria-expanded", "true");
    this.#problem.hidden = true;
    this.#chart ??= new Chart(this.#place, TASK, HISTORY_HEIGHT);
  }

  close() {
    this.#second.hidden = true;
    this.#button.setAttribute("aria-expanded", "false");
    this.#chart?.close();
    this.#chart = null;
  }

  reveal() {
    this.#button.focus({ preventScroll: true });
    this.elements[0].scrollIntoView({ block: "nearest" });
  }

  fail(sentence) {
    this.#problem.hidden = false;
    say(this.#problem, sentence);
  }

  show(task, state) {
    this.#status.replaceChildren(chip(task.level));
    const isBottleneck = state.bottleneck !== null && state.bottleneck.id === task.id;
    if (isBottleneck) this.#status.append(make("span", { class: "badge" }, "bottleneck"));
    if (!this.isOpen) return;
    const ago = task.sampledAt === null ? "-" : `${duration(state.takenAt - task.sampledAt)} ago`;
    say(this.#measured, ago);
    this.#measuring.hidden = task.sampling === null;
    // The sentence alone is told to a screen reader; the count goes on in the title.
    say(this.#measuring, task.sampling === null ? "" : "Sampling in progress…");
    this.#measuring.title = task.sampling === null ? "" : `${task.sampling.taken} of ${task.sampling.of} samples`;
    this.#level.replaceChildren(chip(task.level));
    const isRunning = task.subtasks.some((subtask) => subtask.status === "running");
    const problem = task.problem ?? (isRunning ? null : NOT_RUNNING);
    if (problem !== null) this.fail(problem);
    this.#subtasks.replaceChildren(...task.subtasks.map(subtaskRow));
  }

  showHistory(history, id) {
    const columns = history.ofTask(id);
    if (!this.#chart || !columns) return;
    const throttled = history.total()?.throttled ?? [];
    this.#chart.show(history.times, columns, throttled);
  }

  #toggleSubtasks() {
    this.#table.hidden = !this.#table.hidden;
    this.#fold.textContent = this.#table.hidden ? "Show subtasks" : "Hide subtasks";
  }
}

function subtaskRow({ subtask, sampled, recent, longestBlocked, status }) {
  const spent = sampled && `${percent(sampled.ratio)} / ${percent(sampled.idleRatio)} / ${percent(sampled.busyRatio)}`;
  const reasons = Object.entries(recent?.byReason ?? {}).sort((a, b) => b[1] - a[1]);
  const cells = [
    String(subtask),
    sampled ? ratio(sampled.ratio) : "-",
    sampled && sampled.low !== null ? `${ratio(sampled.low)} to ${ratio(sampled.high)}` : "-",
    spent ?? "N/A",
    reasons.map(([reason, share]) => `${spoken(reason)} ${percent(share)}`).join(", ") || "-",
    longestBlocked > 0 ? duration(longestBlocked) : "-",
  ].map((text) => make("td", {}, text));
  return make("tr", {}, ...cells, make("td", {}, sampled ? chip(sampled.level) : spoken(status)));
}

function chip(level) {
  return level === null ? make("span", {}, "-") : make("span", { class: `level level-${level}` }, level.toUpperCase());
}
