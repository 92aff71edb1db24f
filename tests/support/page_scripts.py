"""What a test puts into a page before its own scripts run: answers that stand still, and a memory of what was heard."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

# What the page asks for that `frozen` may answer.
ASKED = ("/api/history", "/api/back-pressure", "/api/flow-control", "/api/throttling/episodes", "/api/exporters")


def frozen(answers: Mapping[str, Sequence[Any]]) -> str:
    """The page gets these answers, by path, whatever the server says: one after the other, the last again and again.

    Samples bring nothing new, and come twice a second. Other paths are asked for as ever.
    """
    return f"""
    (() => {{
      const answers = new Map(Object.entries({json.dumps({path: list(told) for path, told in answers.items()})}));
      const really = window.fetch;
      window.fetch = async (address, options) => {{
        const told = answers.get(new URL(address, location.href).pathname);
        if (told === undefined) return really(address, options);
        const answer = told.length > 1 ? told.shift() : told[0];
        if (answer === null) throw new TypeError("cut off by the test");
        return new Response(JSON.stringify(answer), {{ headers: {{ "Content-Type": "application/json" }} }});
      }};
      const nothing = {{ ...answers.get("/api/history").at(-1), times: [], partitions: [], vertices: [] }};
      window.EventSource = class extends EventTarget {{
        static CLOSED = 2;
        readyState = 1;
        #timer = setInterval(
          () => this.dispatchEvent(new MessageEvent("sample", {{ data: JSON.stringify(nothing) }})), 500);
        close() {{ clearInterval(this.#timer); }}
      }};
    }})();
    """


# `heard.newest` is the time of the newest sample that the page has got; `heard.returns` has one for each time that
# the page said that it is fresh again.
LISTENING = """
(() => {
  const heard = { newest: 0, returns: [] };
  window.heard = heard;
  const note = (told) => { heard.newest = Math.max(heard.newest, told.times?.at(-1) ?? 0); };
  const really = window.fetch;
  window.fetch = async (address, options) => {
    const answer = await really(address, options);
    if (String(address).startsWith("api/history")) note(await answer.clone().json());
    return answer;
  };
  const listen = EventSource.prototype.addEventListener;
  EventSource.prototype.addEventListener = function (name, told) {
    const noted = (event) => {
      if (name === "sample") note(JSON.parse(event.data));
      told(event);
    };
    listen.call(this, name, noted);
  };
  addEventListener("DOMContentLoaded", () => {
    let wasStale = false;
    new MutationObserver(() => {
      const isStale = document.body.classList.contains("is-stale");
      if (wasStale && !isStale) heard.returns.push(heard.newest);
      wasStale = isStale;
    }).observe(document.body, { attributes: true, attributeFilter: ["class"] });
  });
})();
"""
