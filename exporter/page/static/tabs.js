// Tabs as the ARIA practices describe them; the address names the open one, so that it can be linked to.

export class Tabs {
  #tabs;
  #opened = () => {};

  constructor(list) {
    this.#tabs = [...list.querySelectorAll("[role=tab]:not([hidden])")];
    for (const tab of this.#tabs) tab.addEventListener("click", () => this.open(nameOf(tab)));
    list.addEventListener("keydown", (event) => this.#walk(event));
    addEventListener("hashchange", () => this.#openNamed());
    this.#openNamed();
  }

  /** `opened` is called whenever a tab opens. */
  follow(opened) {
    this.#opened = opened;
  }

  get current() {
    return nameOf(this.#tabs.find((tab) => tab.getAttribute("aria-selected") === "true"));
  }

  open(name) {
    // Not another entry of the browser's history for every look.
    history.replaceState(null, "", `#${name}`);
    this.#show(name);
  }

  #openNamed() {
    const wanted = location.hash.slice(1);
    const known = this.#tabs.map(nameOf);
    this.#show(known.includes(wanted) ? wanted : known[0]);
  }

  #show(name) {
    for (const tab of this.#tabs) {
      const isOpen = nameOf(tab) === name;
      tab.setAttribute("aria-selected", String(isOpen));
      tab.tabIndex = isOpen ? 0 : -1;
      document.getElementById(tab.getAttribute("aria-controls")).hidden = !isOpen;
    }
    this.#opened();
  }

  #walk(event) {
    const count = this.#tabs.length;
    const at = this.#tabs.indexOf(document.activeElement);
    const [right, left] = [(at + 1) % count, (at + count - 1) % count];
    const to = { ArrowRight: right, ArrowLeft: left, Home: 0, End: count - 1 }[event.key];
    if (to === undefined || at < 0) return;
    event.preventDefault();
    this.open(nameOf(this.#tabs[to]));
    this.#tabs[to].focus();
  }
}

const nameOf = (tab) => tab.id.replace(/^tab-/, "");
