// Asks the management API; what it refuses is an error that carries the server's own sentence.

export class Refused extends Error {
  constructor(status, problem) {
    super(problem.detail ?? `the server answers ${status}`);
    this.status = status;
    // By JSON pointer, where several values are wrong: [{pointer, detail}].
    this.errors = problem.errors ?? [];
  }
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
  const answer = await fetch(path, { method, headers, body, cache: "no-store" });
  const read = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Refused(answer.status, read);
  return { content: read, tag: answer.headers.get("ETag") };
}

/** Whether who looks may change something: asks for a change of nothing, as a dry run. */
export async function mayChange() {
  try {
    await send("PATCH", "api/flow-control?dry_run=true", { content: {} });
    return true;
  } catch (error) {
    return !(error instanceof Refused && [401, 403].includes(error.status));
  }
}
