// Asks the management API; what it refuses is an error that carries the server's own sentence.

const RETRY_MS = 2000;

export class Refused extends Error {
  constructor(status, problem) {
    super(problem.detail ?? `the server answers ${status}`);
    this.status = status;
    // By JSON pointer, where several values are wrong: [{pointer, detail}].
    this.errors = problem.errors ?? [];
  }
}

/** Of several pipelines behind this port the one that this page is of; null for the only one, and for the first. */
export const PIPELINE = new URLSearchParams(location.search).get("pipeline");

/** The path, with that pipeline named in it. */
export function of(path) {
  if (PIPELINE === null) return path;
  return `${path}${path.includes("?") ? "&" : "?"}pipeline=${encodeURIComponent(PIPELINE)}`;
}

/** The JSON answer of a path, relative to the page. */
export async function ask(path) {
  return (await send("GET", path)).content;
}

/** The JSON answer and its entity tag. Raises `Refused`. */
export async function send(method, path, { content, tag } = {}) {
  const headers = {};
  if (content !== undefined) headers["Content-Type"] = "application/merge-patch+json";
  if (tag) headers["If-Match"] = tag;
  const body = content === undefined ? undefined : JSON.stringify(content);
  const answer = await fetch(of(path), { method, headers, body, cache: "no-store" });
  const read = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Refused(answer.status, read);
  return { content: read, tag: answer.headers.get("ETag") };
}

/** Whether who looks may change something. Asks until there is an answer. */
export async function mayChange() {
  for (;;) {
    try {
      return (await ask("api/rights")).mayChange;
    } catch {
      await new Promise((again) => setTimeout(again, RETRY_MS));
    }
  }
}
