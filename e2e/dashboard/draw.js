// Draws the panels of all sections with uPlot, at their places in Grafana's grid.
const columns = 24, line = 30, headline = 44;
const palette = ["#56a64b", "#f2cc0c", "#3274d9", "#ff780a", "#e02f44", "#8f3bb8", "#37872d", "#e0b400", "#1f60c4", "#fa6400", "#c4162a", "#7c2ea3", "#96d98d", "#ffee52", "#8ab8ff", "#ffb357", "#ff7383", "#ca95e5"];
const colors = { green: "#56a64b", red: "#e02f44" };

// Numbers with the units of Grafana.
const digits = (v, most) => +v.toFixed(most) + "";
function scaled(v, steps) {
  const a = Math.abs(v);
  let [factor, suffix] = steps[0];
  for (const [f, s] of steps) if (a >= f) [factor, suffix] = [f, s];
  const n = v / factor;
  return digits(n, Math.abs(n) >= 100 ? 0 : Math.abs(n) >= 10 ? 1 : 2) + suffix;
}
const powers = Array.from({ length: 45 }, (_, i) => 2 ** i);
const short = v => Math.abs(v) < 1000 ? digits(v, 3) : scaled(v, [[1, ""], [1e3, " K"], [1e6, " Mil"], [1e9, " Bil"]]);
const units = {
  none: v => digits(v, 3),
  short,
  s: v => v === 0 ? "0 s" : scaled(v, [[1e-6, " µs"], [1e-3, " ms"], [1, " s"], [60, " min"], [3600, " hour"], [86400, " day"]]),
  bytes: v => v === 0 ? "0 B" : scaled(v, [[1, " B"], [1024, " KiB"], [1024 ** 2, " MiB"], [1024 ** 3, " GiB"], [1024 ** 4, " TiB"]]),
  percentunit: v => digits(v * 100, 2) + "%",
  reqps: v => short(v) + " req/s",
  cps: v => short(v) + " c/s",
  ops: v => short(v) + " ops/s",
};

function element(parent, tag, name, text) {
  const e = document.createElement(tag);
  if (name) e.className = name;
  if (text !== undefined) e.textContent = text;
  parent.append(e);
  return e;
}

// The last value, in the color of its threshold.
function stat(box, { panel, series }, format) {
  const value = +series[0].values.findLast(v => v !== null).toPrecision(3);
  const e = element(box, "div", "stat", format(value));
  let color = colors.green;
  for (const s of panel.fieldConfig.defaults.thresholds.steps ?? []) if (s.value === null || value >= s.value) color = colors[s.color];
  if (panel.options.colorMode === "background") Object.assign(e.style, { background: color, color: "#fff" });
  else e.style.color = color;
}

function chart(box, { panel, times, series }, format) {
  const area = element(box, "div", "chart");
  const legend = element(box, "div", "legend");
  series.forEach((s, i) => {
    const entry = element(legend, "span");
    element(entry, "i").style.background = palette[i % palette.length];
    entry.append(s.name);
  });
  const { clientWidth: width, clientHeight: height } = area;
  const { min: lowest, decimals } = panel.fieldConfig.defaults;
  new uPlot({
    width, height, cursor: { show: false }, legend: { show: false },
    scales: {
      x: { time: true },
      y: { range: (_, from, to) => {
        if (lowest !== null) from = lowest;
        if (!(to > from)) return [from, from + 1];
        return uPlot.rangeNum(from, to, { min: { pad: 0, hard: lowest ?? -Infinity, mode: 1, soft: lowest ?? undefined }, max: { pad: 0.1, mode: 0 } });
      } },
    },
    axes: [
      { stroke: "#555", grid: { stroke: "#ececec", width: 1 }, ticks: { show: false }, font: "10px sans-serif", size: 22,
        values: (_, at) => at.map(t => new Date(t * 1000).toISOString().slice(11, 19)), space: 80 },
      { stroke: "#555", grid: { stroke: "#ececec", width: 1 }, ticks: { show: false }, font: "10px sans-serif", size: 66, space: 26,
        incrs: decimals === 0 ? [1, 2, 5, 10, 20, 50, 100] : panel.fieldConfig.defaults.unit === "bytes" ? powers : undefined, values: (_, at) => at.map(format) },
    ],
    series: [{}, ...series.map((s, i) => ({ label: s.name, stroke: palette[i % palette.length], width: 1.4, spanGaps: false, points: { show: false } }))],
  }, [times, ...series.map(s => s.values)], area);
}

for (const { title, answers, top: offset } of sections) {
  element(document.body, "h1", "", title).style.top = offset + "px";
  const first = Math.min(...answers.map(a => a.panel.gridPos.Y));
  for (const answer of answers) {
    const { H, W, X, Y } = answer.panel.gridPos;
    const box = element(document.body, "div", "panel");
    Object.assign(box.style, { left: 100 * X / columns + "%", width: 100 * W / columns + "%", top: offset + headline + (Y - first) * line + "px", height: H * line + "px" });
    const inner = element(box, "div");
    element(inner, "h2", "", answer.panel.title);
    const unit = answer.panel.fieldConfig.defaults.unit;
    if (!units[unit]) throw new Error("a unit that is not known: " + unit);
    (answer.panel.type === "stat" ? stat : chart)(inner, answer, units[unit]);
  }
}
document.title = "drawn";
