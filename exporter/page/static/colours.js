// The colour of a task in the job graph, mixed as Flink's web interface does it: idle blue, busy red, held back grey.

const FILL = { idle: [0x5d, 0xb1, 0xff], busy: [0xee, 0x64, 0x64], held: [0x88, 0x88, 0x88] };
const BORDER = { idle: [0x18, 0x90, 0xff], busy: [0xee, 0x22, 0x22], held: [0, 0, 0] };

/** Fill and border for shares between 0 and 1; unknown counts as 0. */
export function taskColours(busy, held) {
  const [busyPercent, heldPercent] = [busy, held].map((share) => Math.min(Math.round((share ?? 0) * 100), 100));
  return { fill: mixed(FILL, busyPercent, heldPercent), border: mixed(BORDER, busyPercent, heldPercent) };
}

function mixed(colours, busy, held) {
  const between = (from, to, percent) => from.map((value, i) => Math.round(value + ((to[i] - value) * percent) / 100));
  const channels = between(between(colours.idle, colours.busy, busy), colours.held, held);
  return `#${channels.map((value) => value.toString(16).padStart(2, "0")).join("")}`;
}
