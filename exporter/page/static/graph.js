// The job graph: tasks coloured by how they spend their time, rates on the edges, the gate, the log, the bottleneck.

import { taskColours } from "./colours.js";
import { draw, make, say } from "./dom.js";
import { isLess, isMore, recent } from "./history.js";
import { GATE, GATEWAY, LOG, arrange } from "./plan.js";
import { bytes, percent, rate, spokenPartitions, whole } from "./words.js";

const NODE = { width: 174, height: 70 };
const GAP = { across: 48, down: 26 };
const MARGIN = { side: 4, top: 42, bottom: 20 };
// How far above its ends the way back to the gate runs, and where at the top of a node it begins and ends.
const RETURN = { above: 28, at: 0.75 };
const NAME_LENGTH_MAX = 20;
const LEGIBLE = 0.75;

export class JobGraph {
  #place;
  #chosen;
  #drawn = "";
  #nodes = new Map();
  #edges = [];

  /** `chosen` is called with the id of a task that somebody picks. */
  constructor(place, chosen) {
    this.#place = place;
    this.#chosen = chosen;
  }

  /** Draws what `/api/back-pressure` and the history tell of the tasks of a plan. */
  show(plan, state, history) {
    const tasks = new Map(state.tasks.map((task) => [task.id, task]));
    const hasPartitions = history.partitionNumbers().length > 0;
    const hasGateway = hasPartitions && history.gateway !== null;
    const shape = JSON.stringify([plan.nodes, hasPartitions, hasGateway]);
    if (shape !== this.#drawn) this.#build(plan, tasks, hasPartitions, hasGateway);
    this.#drawn = shape;
    for (const [id, parts] of this.#nodes) {
      if (id === GATE) this.#tellGate(parts, history, state.bottleneck);
      else if (id === LOG) this.#tellLog(parts, history);
      else if (id === GATEWAY) this.#tellGateway(parts, history);
      else if (tasks.has(id)) this.#tellTask(parts, tasks.get(id), state.bottleneck);
    }
    for (const edge of this.#edges) say(edge.text, rate(flowOf(edge, history)));
  }

  #build(plan, tasks, hasPartitions, hasGateway) {
    const kinds = new Map([...tasks].map(([id, task]) => [id, task.kind]));
    const { nodes, edges } = arrange(plan, kinds, hasPartitions, hasGateway);
    const rows = Math.max(...nodes.map((node) => node.rows), 1);
    const ranks = Math.max(...nodes.map((node) => node.rank), 0) + 1;
    const width = ranks * (NODE.width + GAP.across) - GAP.across + 2 * MARGIN.side;
    const height = rows * (NODE.height + GAP.down) - GAP.down + MARGIN.top + MARGIN.bottom;
    const places = new Map(nodes.map((node) => [node.id, placeOf(node, rows)]));
    const svg = draw("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "group" });
    svg.setAttribute("aria-label", "Job graph: tasks from left to right");
    // Shrunk to the width there is, as long as it can be read.
    svg.style.minWidth = `${Math.round(width * LEGIBLE)}px`;
    this.#edges = edges.map((edge) => this.#edge(svg, edge, places));
    const drawn = ({ id }) => this.#node(svg, id, places.get(id), tasks.get(id));
    this.#nodes = new Map(nodes.map((node) => [node.id, drawn(node)]));
    this.#place.replaceChildren(svg);
  }

  #edge(svg, edge, places) {
    const [from, to] = [places.get(edge.from), places.get(edge.to)];
    const [x1, y1] = [from.x + NODE.width, from.y + NODE.height / 2];
    const [x2, y2] = [to.x, to.y + NODE.height / 2];
    const middle = (x1 + x2) / 2;
    let line = `M${x1},${y1} C${middle},${y1} ${middle},${y2} ${x2 - 6},${y2}`;
    let label = { x: middle, y: (y1 + y2) / 2 - 6 };
    if (edge.back) {
      const [topFrom, topTo] = [from.y, to.y];
      const high = Math.min(topFrom, topTo) - RETURN.above;
      const [xFrom, xTo] = [from, to].map((end) => end.x + NODE.width * RETURN.at);
      line = `M${xFrom},${topFrom} C${xFrom},${high} ${xFrom},${high} ${xFrom - 20},${high}`;
      line += ` L${xTo + 20},${high} C${xTo},${high} ${xTo},${high} ${xTo},${topTo - 6}`;
      label = { x: (xFrom + xTo) / 2, y: high - 4 };
    }
    const tip = edge.back ? arrow(to.x + NODE.width * RETURN.at, y2 - NODE.height / 2, "down") : arrow(x2, y2, "right");
    const ends = { "data-from": edge.from, "data-to": edge.to };
    const text = draw("text", { ...label, ...ends, class: "edge-rate", "text-anchor": "middle" });
    svg.append(draw("path", { d: line, class: "edge" }), tip, text);
    return { ...edge, text };
  }

  #node(svg, id, place, task) {
    const isTask = task !== undefined;
    const box = draw("rect", { width: NODE.width, height: NODE.height, rx: isTask ? 6 : 14, class: "box" });
    const title = draw("title");
    const written = isTask ? shortened(task.task) : id.replace("-", " ");
    const name = draw("text", { x: 10, y: 21, class: "name" }, written);
    const lines = [40, 57].map((y) => draw("text", { x: 10, y }));
    const badge = draw("text", { x: 2, y: -6, class: "badge" });
    const reading = draw("text", { x: 2, y: NODE.height + 14, class: "reading" });
    const group = draw("g", { class: `node ${isTask ? "task" : id}`, transform: `translate(${place.x},${place.y})` });
    group.append(title, box, name, ...lines, badge, reading);
    if (isTask) {
      group.setAttribute("role", "button");
      group.setAttribute("tabindex", "0");
      group.dataset.task = task.id;
      group.addEventListener("click", () => this.#chosen(task.id));
      group.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        this.#chosen(task.id);
      });
    }
    svg.append(group);
    return { group, box, lines, badge, reading, title };
  }

  #tellTask(parts, task, bottleneck) {
    const worst = (name) => largest(task.subtasks.map((subtask) => subtask.recent?.[name]));
    const [held, busy] = [worst("backPressured"), worst("busy")];
    const { fill, border } = taskColours(busy, held);
    parts.box.setAttribute("fill", fill);
    parts.box.setAttribute("stroke", border);
    const said = [`Backpressured (max): ${held === null ? "N/A" : percent(held)}`];
    said.push(`Busy (max): ${busy === null ? "N/A" : percent(busy)}`);
    parts.lines.forEach((line, i) => say(line, said[i]));
    const isBottleneck = bottleneck !== null && bottleneck.id === task.id;
    this.#mark(parts, isBottleneck);
    const reading = told(task.subtasks.map((subtask) => subtask.input).find((input) => input));
    say(parts.reading, reading);
    if (reading !== "") said.push(reading);
    const kind = spokenKind(task.kind);
    const named = kind === task.task.replaceAll("-", " ") ? kind : `${kind} ${task.task}`;
    const about = `${named}, ${task.parallelism} subtasks. ${said.join(", ")}`;
    say(parts.title, about + (isBottleneck ? ". The bottleneck" : ""));
    parts.group.setAttribute("aria-label", parts.title.textContent);
  }

  #tellGate(parts, history, bottleneck) {
    // Of several partitions the one that is held back most: a sum would hide it.
    const lowest = history.worst("writeLimitPerSecond", "writeLimitMaxPerSecond", isLess);
    say(parts.lines[0], lowest === null ? "no write limit" : `limit ${rate(lowest.value)}${where(lowest, history)}`);
    say(parts.lines[1], lowest === null ? "" : `at most ${rate(lowest.bound)}`);
    const throttled = history.throttled()?.partitions ?? [];
    parts.group.classList.toggle("is-throttled", throttled.length > 0);
    this.#mark(parts, bottleneck?.task === GATE && bottleneck.id === null);
    say(parts.title, throttled.length ? `Flow control: ${spokenPartitions(throttled)} throttled` : "Flow control");
  }

  #tellLog(parts, history) {
    const count = history.partitionsNow().length;
    const longest = history.worst("backlogRecords", "acceptableBacklogRecords", isMore);
    say(parts.lines[0], `${count} ${count === 1 ? "partition" : "partitions"}`);
    say(parts.lines[1], `backlog ${whole(longest?.value)}${where(longest, history)}`);
    say(parts.title, "The log: records that wait for the exporters are its backlog");
  }

  #tellGateway(parts, { gateway }) {
    say(parts.lines[0], "records over HTTP");
    say(parts.lines[1], gateway.connections === 1 ? "1 connection" : `${whole(gateway.connections)} connections`);
    say(parts.title, "The gateway: what clients write goes to the gate of flow control");
  }

  #mark(parts, isBottleneck) {
    parts.group.classList.toggle("is-bottleneck", isBottleneck);
    say(parts.badge, isBottleneck ? "▼ bottleneck" : "");
  }
}

/** What the colours mean, once. */
export function graphKey() {
  const sample = (busy, held, text) => {
    const colours = taskColours(busy, held);
    const dot = draw("svg", { width: 14, height: 14, "aria-hidden": "true" });
    dot.append(draw("rect", { x: 1, y: 1, width: 12, height: 12, rx: 2, fill: colours.fill, stroke: colours.border }));
    return make("span", {}, dot, ` ${text}`);
  };
  return [sample(0, 0, "idle"), sample(1, 0, "busy"), sample(0, 1, "back-pressured")];
}

function placeOf(node, rows) {
  const down = NODE.height + GAP.down;
  return {
    x: MARGIN.side + node.rank * (NODE.width + GAP.across),
    y: MARGIN.top + (node.row + (rows - node.rows) / 2) * down,
  };
}

function arrow(x, y, to) {
  const back = to === "down" ? `${x - 5},${y - 9} ${x + 5},${y - 9}` : `${x - 9},${y - 5} ${x - 9},${y + 5}`;
  return draw("polygon", { points: `${x},${y} ${back}`, class: "tip" });
}

/** Records a second along an edge: what the gate admits, what a reader takes from the log, or what a task hands on. */
function flowOf(edge, history) {
  if (edge.from === GATEWAY) return history.gateway?.recordsPerSecond;
  if (edge.from === GATE) return recent(history.total()?.acceptedPerSecond);
  const [id, column] = edge.from === LOG ? [edge.to, "recordsInPerSecond"] : [edge.from, "recordsOutPerSecond"];
  return recent(history.ofTask(id)?.[column]);
}

/** On which partition, where there are several. */
const where = (found, history) => (found && history.partitionNumbers().length > 1 ? ` on ${found.number}` : "");

const shortened = (name) => (name.length > NAME_LENGTH_MAX ? `${name.slice(0, NAME_LENGTH_MAX - 1)}…` : name);
const spokenKind = (kind) => kind.replaceAll("_", " ");

/** How far a source is, in a few words; nothing where it cannot say. */
function told(input) {
  if (!input) return "";
  if (input.lagRecords !== null) return `${whole(input.lagRecords)} messages behind the end`;
  if (input.positionBytes === null) return "";
  if (input.lagBytes !== null) return `${bytes(input.lagBytes)} behind the end`;
  if (input.sizeBytes) return `${percent(input.positionBytes / input.sizeBytes)} of ${bytes(input.sizeBytes)} read`;
  return `${bytes(input.positionBytes)} read`;
}

function largest(values) {
  const known = values.filter((value) => value !== null && value !== undefined);
  return known.length ? Math.max(...known) : null;
}
