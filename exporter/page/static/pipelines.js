// Several pipelines behind one port: a choice in the head of the page, and at first the one that needs a look most.

import { ask, PIPELINE } from "./api.js";
import { byId, make } from "./dom.js";

const EVERY_MS = 10_000;
// What is worse than these is worth a look before them.
const CALM = ["fine", "starting"];

/** Fills the choice as long as the page is open; where there is one pipeline alone it stays hidden. */
export async function choosePipeline() {
  const select = byId("pipeline");
  select.addEventListener("change", () => open(select.value));
  for (;;) {
    const { pipelines } = await ask("api/pipelines").catch(() => ({ pipelines: [] }));
    if (pipelines.length > 1) {
      if (PIPELINE === null) return open(worst(pipelines).pipeline);
      show(select, pipelines);
    }
    await new Promise((again) => setTimeout(again, EVERY_MS));
  }
}

function show(select, pipelines) {
  const texts = pipelines.map((one) => (CALM.includes(one.condition) ? one.pipeline : `${one.pipeline}: ${one.condition}`));
  const shown = [...select.options].map((option) => option.textContent);
  byId("pipelines").hidden = false;
  if (texts.join("\n") === shown.join("\n")) return;
  select.replaceChildren(...pipelines.map((one, i) => make("option", { value: one.pipeline }, texts[i])));
  select.value = PIPELINE;
}

/** A pipeline rather than the bridge it is seen through, unless that is what is wrong. */
function worst(pipelines) {
  const needs = (one) => !CALM.includes(one.condition);
  return pipelines.find((one) => one.isBridge && needs(one)) ?? pipelines.find(needs) ?? pipelines.find((one) => !one.isBridge) ?? pipelines[0];
}

function open(pipeline) {
  location.search = `?pipeline=${encodeURIComponent(pipeline)}`;
}
