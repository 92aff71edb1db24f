// Changes limits in two steps: first what would change, as the server says, then the change itself.

import { Refused, send } from "./api.js";
import { byId, make, say } from "./dom.js";
import { timeOfDay } from "./words.js";

const PATH = "api/flow-control";
const ALL = "all";
const ON_OFF = [["true", "on"], ["false", "off"]];

// The place of each value in the document, and how it is asked for.
const FIELDS = [
  { pointer: "/write/enabled", label: "Write limit", options: ON_OFF },
  { pointer: "/write/limit", label: "Records a second", mode: "numeric" },
  { pointer: "/write/throttling/enabled", label: "Throttling", options: ON_OFF },
  { pointer: "/write/throttling/acceptableBacklog", label: "Acceptable backlog", mode: "numeric" },
  { pointer: "/write/throttling/minimumLimit", label: "Minimum limit", mode: "numeric" },
  { pointer: "/write/throttling/resolution", label: "Resolution, such as 15s" },
  { pointer: "/request/enabled", label: "Request limit", options: ON_OFF },
];

export class LimitsForm {
  #form = byId("limits");
  #fields = new Map();
  #partition;
  #ttl;
  #state = null;
  #refresh;

  /** `refresh` asks for the state anew. */
  constructor(refresh) {
    this.#refresh = refresh;
    this.#partition = field("partition", "Partition", { options: [[ALL, "all"]] });
    for (const about of FIELDS) this.#fields.set(about.pointer, field(about.pointer, about.label, about));
    this.#ttl = field("ttl", "For how long, such as 15m (empty: until reverted)", {});
    const all = [this.#partition, ...this.#fields.values(), this.#ttl];
    byId("override").after(...all.map((each) => each.element));
    this.#partition.input.addEventListener("change", () => this.#fill(true));
    this.#form.addEventListener("input", () => this.#withdraw());
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#propose("PATCH", this.#asked());
    });
    byId("revert").addEventListener("click", () => this.#propose("DELETE"));
  }

  /** Takes `/api/flow-control`: fields that nobody has touched follow it. */
  show(state) {
    this.#state = state;
    this.#offerPartitions(Object.keys(state.partitions));
    this.#fill(false);
    const lines = Object.entries(state.partitions).flatMap(([number, { override }]) => {
      if (override === null) return [];
      const until = override.until === null ? "until reverted" : `until ${timeOfDay(override.until)}`;
      const by = override.by === null ? "" : ` by ${override.by}`;
      return [`Partition ${number}: limits set by hand${by} at ${timeOfDay(override.since)}, ${until}.`];
    });
    say(byId("override"), lines.join(" ") || "The limits are the configured ones.");
  }

  #offerPartitions(numbers) {
    const select = this.#partition.input;
    if ([ALL, ...numbers].join() === [...select.options].map((option) => option.value).join()) return;
    select.replaceChildren(new Option("all", ALL), ...numbers.map((number) => new Option(number, number)));
  }

  #fill(anew) {
    const settings = this.#settings();
    if (!settings) return;
    for (const [pointer, { input }] of this.#fields) {
      const present = valueAt(settings, pointer);
      const written = present === undefined || present === null ? "" : String(present);
      const isUntouched = input.dataset.present === undefined || input.value === input.dataset.present;
      if ((isUntouched || anew) && input.value !== written) input.value = written;
      input.dataset.present = written;
    }
  }

  /** The settings that the fields show: of the chosen partition, or of the first. */
  #settings() {
    const chosen = this.#partition.input.value;
    const { partitions } = this.#state;
    return (partitions[chosen] ?? Object.values(partitions)[0])?.settings;
  }

  /** A merge patch of the fields that differ from how things stand. */
  #asked() {
    const content = {};
    for (const [pointer, { input }] of this.#fields) {
      if (input.value !== input.dataset.present) setAt(content, pointer, read(input));
    }
    return content;
  }

  #query(more) {
    const query = new URLSearchParams(more);
    if (this.#partition.input.value !== ALL) query.set("partition", this.#partition.input.value);
    return query;
  }

  async #propose(method, content) {
    this.#withdraw();
    const query = this.#query({ dry_run: "true" });
    const wanted = this.#query({});
    const ttl = this.#ttl.input.value.trim();
    if (method === "PATCH" && ttl) for (const each of [query, wanted]) each.set("ttl", ttl);
    const told = await this.#sent(method, query, { content });
    if (told) this.#offer(told.content.changes, () => this.#apply(method, wanted, { content, tag: told.tag }));
  }

  async #apply(method, query, request) {
    this.#withdraw();
    const told = await this.#sent(method, query, request);
    if (!told) return;
    for (const { input } of this.#fields.values()) delete input.dataset.present;
    say(byId("limits-done"), method === "DELETE" ? "The configured limits are back." : "The limits are changed.");
    await this.#refresh();
  }

  #offer(changes, apply) {
    const items = Object.entries(changes).flatMap(([partition, list]) =>
      list.map(({ pointer, from, to }) =>
        make("li", {}, `partition ${partition}: ${pointer.slice(1).replaceAll("/", ".")} from ${from} to ${to}`),
      ),
    );
    const place = byId("proposal");
    const close = make("button", { type: "button" }, items.length ? "Leave it" : "Close");
    close.addEventListener("click", () => this.#withdraw());
    const change = make("button", { type: "button", id: "apply", class: "primary" }, "Change it");
    change.addEventListener("click", apply);
    // Values that stay may still be given another end.
    const isWorth = items.length > 0 || this.#ttl.input.value !== "";
    const buttons = make("div", { class: "buttons" }, isWorth ? change : null, close);
    const title = items.length ? "This would change:" : "Nothing would change.";
    place.replaceChildren(make("strong", {}, title), make("ul", {}, ...items), buttons);
    place.hidden = false;
    place.focus();
  }

  #withdraw() {
    byId("proposal").hidden = true;
    say(byId("limits-error"), "");
    say(byId("limits-done"), "");
    for (const each of [this.#partition, this.#ttl, ...this.#fields.values()]) each.complain("");
  }

  async #sent(method, query, request) {
    try {
      return await send(method, `${PATH}?${query}`, request);
    } catch (error) {
      this.#complain(error);
      return null;
    }
  }

  /** Each sentence of the server at its field; what belongs to none below the buttons. */
  #complain(error) {
    const known = (error instanceof Refused ? error.errors : []).filter(({ pointer }) => this.#fields.has(pointer));
    for (const { pointer, detail } of known) this.#fields.get(pointer).complain(detail);
    // A refused parameter of the query is named by the first word of the sentence.
    const isTtl = error instanceof Refused && error.message.startsWith("ttl ");
    if (isTtl) this.#ttl.complain(error.message);
    if (!known.length && !isTtl) say(byId("limits-error"), error.message);
    this.#form.querySelector("[aria-invalid=true]")?.focus();
  }
}

function field(name, label, { options, mode }) {
  const id = `limits${name.replaceAll("/", "-")}`.replace(/^limits(?!-)/, "limits-");
  const input = options
    ? make("select", { id }, ...options.map(([value, text]) => new Option(text, value)))
    : make("input", { id, inputmode: mode, autocomplete: "off", spellcheck: "false" });
  const error = make("p", { id: `${id}-error`, class: "error" });
  input.setAttribute("aria-describedby", error.id);
  return {
    input,
    element: make("div", { class: "field" }, make("label", { for: id }, label), input, error),
    complain(sentence) {
      say(error, sentence);
      input.setAttribute("aria-invalid", String(sentence !== ""));
    },
  };
}

/** What stands in a field as JSON; what is no number goes as it is, so that the server says what is wrong. */
function read(input) {
  const written = input.value.trim();
  if (input instanceof HTMLSelectElement) return written === "true";
  return input.inputMode === "numeric" && /^-?\d+(\.\d+)?$/.test(written) ? Number(written) : written;
}

const keysOf = (pointer) => pointer.slice(1).split("/");
const valueAt = (document, pointer) => keysOf(pointer).reduce((inner, key) => inner?.[key], document);

function setAt(document, pointer, value) {
  const keys = keysOf(pointer);
  const last = keys.pop();
  keys.reduce((inner, key) => (inner[key] ??= {}), document)[last] = value;
}
