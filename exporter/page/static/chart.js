// Lines over the last fifteen minutes, and a yellow band wherever the throttle was on.

const HEIGHT = 320;
// More than these on a line of fifteen minutes make a hedge of it.
const POINTS_MAX = 180;
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const exact = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const share = new Intl.NumberFormat("en", { style: "percent", maximumFractionDigits: 0 });

/** Backlog on the left axis, limits and rates on the right one. */
export const FLOW = {
  axes: [
    { scale: "records", label: "records", format: compact },
    { scale: "rate", label: "records/s", format: compact, side: 1, grid: { show: false } },
  ],
  lines: [
    { column: "backlogRecords", label: "Backlog", scale: "records", colour: "backlog", width: 2 },
    { column: "acceptableBacklogRecords", label: "Acceptable", scale: "records", colour: "acceptable", dash: [4, 4] },
    { column: "writeLimitPerSecond", label: "Write limit", scale: "rate", colour: "limit", width: 2 },
    { column: "writeLimitMaxPerSecond", label: "Maximum limit", scale: "rate", colour: "maximum", dash: [4, 4] },
    { column: "exportingRatePerSecond", label: "Exporting rate", scale: "rate", colour: "rate", width: 2 },
    { column: "acceptedPerSecond", label: "Accepted writes", scale: "rate", colour: "accepted" },
  ],
};

/** Accepted writes, a line for each of these sources. */
export const writesOf = (sources) => ({
  axes: [{ scale: "rate", label: "records/s", format: compact }],
  lines: sources.map((source) => ({ ...source, scale: "rate", width: 2 })),
});

/** How a task spends its time, and what the stacks say. */
export const TASK = {
  axes: [{ scale: "share", label: "share of the time", format: share, max: 1 }],
  lines: [
    { column: "backPressuredRatioMax", label: "Back-pressured (max)", scale: "share", colour: "held", width: 2 },
    { column: "busyRatio", label: "Busy", scale: "share", colour: "busy" },
    { column: "idleRatio", label: "Idle", scale: "share", colour: "idle" },
    { column: "sampledBackPressureRatio", label: "Sampled ratio", scale: "share", colour: "rate", dash: [4, 4] },
  ],
};

export class Chart {
  #plot = null;
  #place;
  #kind;
  #height;
  #throttled = [];
  #resized;
  #themed = new AbortController();

  constructor(place, kind, height = HEIGHT) {
    this.#place = place;
    this.#kind = kind;
    this.#height = height;
    this.#resized = new ResizeObserver(() => this.#plot?.setSize(this.#size()));
    this.#resized.observe(place);
    // Colours are drawn, not styled: another theme needs another chart.
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    scheme.addEventListener("change", () => this.#again(), { signal: this.#themed.signal });
  }

  /** `throttled` holds 1 where a band stands; all columns are as long as `times`. */
  show(times, columns, throttled) {
    const wanted = this.#kind.lines.map((line) => columns[line.column]);
    const apart = secondsApart(times);
    this.#throttled = gathered(times, throttled, apart, largest);
    const [moments, ...lines] = [times, ...wanted].map((column) => gathered(times, column, apart, mean));
    this.#draw([moments, ...lines]);
  }

  /** Gives back what the browser holds for it. */
  close() {
    this.#resized.disconnect();
    this.#themed.abort();
    this.#plot?.destroy();
    this.#plot = null;
  }

  #again() {
    const data = this.#plot?.data;
    this.#plot?.destroy();
    this.#plot = null;
    if (data) this.#draw(data);
  }

  #draw(data) {
    if (this.#plot) this.#plot.setData(data);
    else this.#plot = new uPlot(this.#options(), data, this.#place);
    this.#tellLast();
  }

  /** While nobody points at a moment, the legend says what is now. */
  #tellLast() {
    const plot = this.#plot;
    if (plot && (plot.cursor.left ?? -1) < 0) plot.setLegend({ idx: plot.data[0].length - 1 }, false);
  }

  #size() {
    return { width: Math.max(260, this.#place.clientWidth), height: this.#height };
  }

  #options() {
    const grid = { stroke: colour("line"), width: 1 };
    const look = { stroke: colour("quiet"), grid, ticks: grid, font: "12px system-ui, sans-serif" };
    const axis = ({ format, max, ...rest }) => ({
      ...look,
      size: 64,
      labelSize: 20,
      values: (_, ticks) => ticks.map((tick) => format.format(tick)),
      ...rest,
    });
    const range = ({ max }) => (max ? () => [0, max] : fromZero);
    const formats = new Map(this.#kind.axes.map((a) => [a.scale, a.format === compact ? exact : a.format]));
    return {
      ...this.#size(),
      cursor: { drag: { x: false, y: false } },
      scales: Object.fromEntries(this.#kind.axes.map((a) => [a.scale, { range: range(a) }])),
      axes: [{ ...look, values: "{HH}:{mm}:{ss}", space: 90 }, ...this.#kind.axes.map(axis)],
      series: [
        { label: "Time", value: "{HH}:{mm}:{ss}" },
        ...this.#kind.lines.map((line) => series(line, formats.get(line.scale))),
      ],
      hooks: { drawClear: [(plot) => this.#band(plot)], setCursor: [() => this.#tellLast()] },
    };
  }

  /** Each throttled sample colours the time up to the next one. */
  #band(plot) {
    const times = plot.data[0];
    const { ctx, bbox } = plot;
    ctx.save();
    // Strong above and faint below: a thin yellow on a dark ground is olive, a thick one hides the lines.
    const shade = ctx.createLinearGradient(0, bbox.top, 0, bbox.top + bbox.height);
    shade.addColorStop(0, `${colour("throttled")}bf`);
    shade.addColorStop(1, `${colour("throttled")}1a`);
    ctx.fillStyle = shade;
    for (let i = 0; i < times.length; i++) {
      if (this.#throttled[i] !== 1) continue;
      const begin = i;
      while (i + 1 < times.length && this.#throttled[i + 1] === 1) i++;
      const left = plot.valToPos(times[begin], "x", true);
      const right = plot.valToPos(times[Math.min(i + 1, times.length - 1)], "x", true);
      ctx.fillRect(left, bbox.top, Math.max(right - left, devicePixelRatio), bbox.height);
    }
    ctx.restore();
  }
}

/** Seconds that share a point: of fifteen minutes of single seconds nobody sees more than the noise. */
function secondsApart(times) {
  const span = times.length ? times.at(-1) - times[0] : 0;
  return Math.max(1, Math.ceil(span / POINTS_MAX));
}

/** One value for all that lie in the same `apart` seconds of the clock; so a point stays what it is as time goes on. */
function gathered(times, column, apart, together) {
  if (apart === 1) return column;
  const found = [];
  let newest = null;
  for (let i = 0; i < times.length; i++) {
    const place = Math.floor(times[i] / apart);
    if (place !== newest) found.push([]);
    newest = place;
    if (column[i] !== null && column[i] !== undefined) found.at(-1).push(column[i]);
  }
  return found.map((values) => (values.length ? together(values) : null));
}

const mean = (values) => values.reduce((a, b) => a + b) / values.length;
const largest = (values) => Math.max(...values);

function series(line, format) {
  return {
    label: line.label,
    scale: line.scale,
    stroke: colour(line.colour),
    width: line.width ?? 1,
    dash: line.dash,
    points: { show: false },
    value: (_, value) => (value === null || value === undefined ? "–" : format.format(value)),
  };
}

// A little room above the highest line; 0 to 1 when all is zero or nothing is known.
const fromZero = (_, _min, max) => [0, max > 0 ? max * 1.08 : 1];
