// Puts the page together: the job graph, and below it one view at a time, all of them as the events come in.

import { ask, mayChange } from "./api.js";
import { BackPressureTab } from "./back_pressure.js";
import { explained } from "./bottleneck.js";
import { byId, say } from "./dom.js";
import { ExportingTab } from "./exporting.js";
import { FlowNumbers } from "./flow_numbers.js";
import { JobGraph, graphKey } from "./graph.js";
import { History } from "./history.js";
import { InstancesTab, showShared } from "./instances.js";
import { follow } from "./live.js";
import { LimitsForm } from "./limits_form.js";
import { showEpisodes, showPartitions } from "./partitions.js";
import { choosePipeline } from "./pipelines.js";
import { Poll } from "./poll.js";
import { Tabs } from "./tabs.js";
import { timeOfDay } from "./words.js";

const history = new History();
const flow = new FlowNumbers(() => flow.show(history));
// The promise of whether this reader may change things: a click that comes before the answer waits for it.
let mayAct = Promise.resolve(false);
let plan = null;
let pressure = null;

// The sentence that says that the engine is away; null while it is there.
let away = null;
const pressures = new Poll("api/back-pressure", tellPressure, tellFreshness);
const limits = new Poll("api/flow-control", tellLimits, tellFreshness);
const episodes = new Poll("api/throttling/episodes", showEpisodes, tellFreshness);
const exporters = new Poll("api/exporters", (state) => exporting.show(state), tellFreshness);
const rejects = new Poll("api/rejects", (state) => exporting.showRejects(state), tellFreshness);
const form = new LimitsForm(() => limits.now());
const exporting = new ExportingTab(() => exporters.now());
const instances = new Poll("api/instances", (state) => members.show(state), tellFreshness);
const members = new InstancesTab(() => instances.now());
const tasks = new BackPressureTab(byId("tasks"), { mayChange: () => mayAct, refresh: () => pressures.now() });
const graph = new JobGraph(byId("graph"), openTask);
// Before the tabs are counted: where nobody shares the pipeline there is one less.
showShared();
const tabs = new Tabs(byId("tabs"));

byId("graph-key").replaceChildren(...graphKey());

function openTask(id) {
  tabs.open("back-pressure");
  tasks.open(id);
}

async function tellPressure(state) {
  pressure = state;
  if (plan?.jid !== state.jobId) plan = (await ask(`jobs/${state.jobId}/plan`)).plan;
  graph.show(plan, pressure, history);
  tasks.show(pressure, history);
  say(byId("bottleneck"), explained(state.bottleneck, state.tasks, history));
  say(byId("blamed"), state.bottleneck === null ? "" : `The bottleneck is ${state.bottleneck.task}.`);
}

function tellLimits(state) {
  showPartitions(state, history);
  form.show(state);
}

/** The word and the sentence that everybody uses; who is away can no longer say any. */
function tellCondition() {
  const condition = away === null ? history.condition : "down";
  const chip = byId("state");
  chip.hidden = !condition;
  say(chip, condition ?? "");
  chip.dataset.condition = condition ?? "";
  // Who is to blame stands above the graph already, as of the moment that is drawn there.
  const isTold = away !== null || condition === "fine" || condition === "back-pressured";
  say(byId("because"), isTold ? "" : (history.because ?? ""));
}

function draw() {
  // A page that nobody sees costs nothing.
  if (document.hidden || !history.times.length) return;
  tellCondition();
  if (tabs.current === "flow-control") flow.show(history);
}

/** Grey, and said so, while anything that can be seen is not of now. What failed is asked for with the next sample. */
function tellFreshness() {
  const failed = [pressures, ...inView()].find((poll) => poll.failure !== null);
  const last = history.times.at(-1);
  const asOf = last === undefined ? "" : ` What you see is of ${timeOfDay(last)}.`;
  const missing = failed ? `Not all could be read: ${failed.failure.message}. Trying again.` : "";
  say(byId("notice"), away === null ? missing : away + asOf);
  document.body.classList.toggle("is-stale", away !== null || failed !== undefined);
  // Nobody is there to change anything: what is pressed now would be lost, or do what nobody wants any more.
  for (const id of ["limits", "exporters", "places"]) byId(id).inert = away !== null;
  if (away !== null) byId("confirm").close("no");
  tellCondition();
}

/** What the open view is drawn from. */
function inView() {
  const views = { "back-pressure": [], exporting: [exporters, rejects], instances: [instances] };
  return views[tabs.current] ?? [limits, episodes];
}

function refresh() {
  draw();
  if (document.hidden) return;
  pressures.now();
  for (const poll of inView()) poll.now();
  if (tabs.current === "back-pressure") tasks.look();
}

tabs.follow(refresh);
choosePipeline();

follow({
  loaded(told) {
    history.replace(told);
    plan = null;
    mayAct = mayChange();
    mayAct.then((may) => (document.body.dataset.rights = may ? "change" : "read"));
    refresh();
  },
  sampled(told) {
    history.append(told);
    refresh();
  },
  lost(sentence) {
    away = sentence;
    tellFreshness();
  },
});
document.addEventListener("visibilitychange", refresh);
