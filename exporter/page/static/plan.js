// The job as it is drawn: tasks, and between them the gate of flow control and the log, in ranks from left to right.

export const GATE = "flow-control";
export const LOG = "log";
export const GATEWAY = "gateway";

/** Nodes `{id, kind, rank, row}` and edges `{from, to, back}` of Flink's plan; `kinds` by id. */
export function arrange(plan, kinds, hasPartitions, hasGateway) {
  const ids = plan.nodes.map((node) => node.id);
  const edges = edgesOf(plan, kinds, hasPartitions);
  // What comes in over HTTP goes past all tasks to the gate.
  if (hasGateway) edges.push({ from: GATEWAY, to: GATE, back: false });
  const nodes = new Map(ids.map((id) => [id, { id, kind: kinds.get(id) ?? "task" }]));
  if (hasGateway) nodes.set(GATEWAY, { id: GATEWAY, kind: GATEWAY });
  if (hasPartitions) for (const id of [GATE, LOG]) nodes.set(id, { id, kind: id });
  const ranks = ranked([...nodes.keys()], edges.filter((edge) => !edge.back));
  const filled = new Map();
  for (const node of nodes.values()) {
    node.rank = ranks.get(node.id);
    node.row = filled.get(node.rank) ?? 0;
    filled.set(node.rank, node.row + 1);
  }
  for (const node of nodes.values()) node.rows = filled.get(node.rank);
  return { nodes: [...nodes.values()], edges };
}

/** An edge through the log leads to the gate, and from the log to whoever reads it. */
function edgesOf(plan, kinds, hasPartitions) {
  const edges = new Map();
  const add = (from, to, back = false) => edges.set(`${from} ${to}`, { from, to, back });
  if (hasPartitions) add(GATE, LOG);
  for (const node of plan.nodes) {
    for (const input of node.inputs ?? []) {
      if (!hasPartitions || input.ship_strategy !== "LOG") {
        add(input.id, node.id);
        continue;
      }
      add(LOG, node.id);
      // Results of the processor pass the gate again.
      add(input.id, GATE, kinds.get(input.id) === "processor");
    }
    const readsTheLog = ["processor", "exporter"].includes(kinds.get(node.id));
    if (hasPartitions && readsTheLog) add(LOG, node.id);
    if (hasPartitions && kinds.get(node.id) === "processor") add(node.id, GATE, true);
  }
  return [...edges.values()];
}

/** The longest way from a start to each node. */
function ranked(ids, edges) {
  const ranks = new Map(ids.map((id) => [id, 0]));
  // A plan has no circles; should one come, this ends all the same.
  for (let round = 0, moved = true; moved && round < ids.length; round++) {
    moved = false;
    for (const { from, to } of edges) {
      if (ranks.get(to) > ranks.get(from)) continue;
      ranks.set(to, ranks.get(from) + 1);
      moved = true;
    }
  }
  return ranks;
}
