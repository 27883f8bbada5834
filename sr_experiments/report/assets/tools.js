// What all views share: the data, the state, texts, numbers, colours.
"use strict";

const Review = { views: {}, state: {} };

Review.data = JSON.parse(document.getElementById("data").textContent);
Review.byId = (id) => document.getElementById(id);

// An element with text or elements in it. Texts are never read as markup.
Review.el = (tag, attributes = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
};

// Fills a menu; keeps what was chosen where it still exists. Options are [value, text].
Review.fillMenu = (menu, options, preferred) => {
  const before = menu.options.length ? menu.value : null;
  menu.replaceChildren(...options.map(([value, text]) => Review.el("option", { value }, text)));
  const values = options.map(([value]) => String(value));
  if (values.includes(before)) menu.value = before;
  else if (preferred !== undefined && values.includes(String(preferred))) menu.value = String(preferred);
};

// Plotly reads a little markup in its texts; this makes any text plain.
Review.plain = (text) =>
  String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

// A long name broken into lines for a chart.
Review.wrapped = (text, width = 34) => {
  const lines = [""];
  for (const word of String(text).split(/(?<=,) /)) {
    if (lines.at(-1) && lines.at(-1).length + word.length > width) lines.push("");
    lines[lines.length - 1] += (lines.at(-1) ? " " : "") + word;
  }
  return lines.map(Review.plain).join("<br>");
};

// Below this number of images an interval from them means little.
Review.FEWEST_IMAGES = 5;

Review.digits = (metric) => (Review.data.metrics[metric] ?? { digits: 4 }).digits;
Review.better = (metric) => (Review.data.metrics[metric] ?? { better: 0 }).better;
Review.number = (value, digits) =>
  value === null || value === undefined ? "–" : Number.isFinite(value) ? value.toFixed(digits) : value > 0 ? "∞" : "−∞";
// A value of a config: small numbers as people write them.
Review.value = (value) =>
  typeof value === "number" && value !== 0 && Math.abs(value) < 1e-3 ? value.toExponential().replace("e-", "e−") : String(value ?? "");
Review.signed = (value, digits) => (value >= 0 ? "+" : "−") + Math.abs(value).toFixed(digits);
Review.metricName = (metric) => metric.replace(/_/g, " ").replace(/psnr|ssim|lpips|dists|vif|lr\b|ms\b/g, (word) => word.toUpperCase());
Review.axisName = (metric) =>
  Review.metricName(metric) + { "1": " (more is better)", "-1": " (less is better)", "0": "" }[Review.better(metric)];
Review.duration = (seconds) => {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 90) return `${seconds.toFixed(0)} s`;
  return seconds < 5400 ? `${(seconds / 60).toFixed(0)} min` : `${(seconds / 3600).toFixed(1)} h`;
};
Review.thousands = (value) => (value === null || value === undefined ? "–" : value.toLocaleString("en"));

// Okabe and Ito's colours, which stay apart without colour vision; markers and dashes say the same once more.
Review.colours = () => Review.isDark()
  ? ["#56b4e9", "#e69f00", "#2fc79a", "#f0e442", "#e58fc0", "#ff7f3f", "#6aa9ff", "#d9d9d9"]
  : ["#0072b2", "#b87b00", "#009e73", "#d55e00", "#b8578f", "#3f96c9", "#7a6f00", "#444444"];
Review.markers = ["circle", "square", "diamond", "triangle-up", "cross", "x", "star", "triangle-down", "pentagon", "hexagon"];
Review.dashes = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"];
Review.colour = (index) => Review.colours()[index % 8];
Review.isDark = () => matchMedia("(prefers-color-scheme: dark)").matches;
Review.css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// Draws a chart in the colours of the page.
Review.draw = (node, traces, layout = {}) => {
  const line = { gridcolor: Review.css("--line"), zerolinecolor: Review.css("--line"), automargin: true };
  const narrow = innerWidth < 640;
  return Plotly.react(
    node,
    traces,
    {
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: Review.css("--text"), family: "system-ui, sans-serif", size: narrow ? 11 : 13 },
      margin: { l: 60, r: narrow ? 10 : 30, t: 30, b: 50 },
      hoverlabel: { namelength: -1 },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: Review.css("--muted"), activecolor: Review.css("--accent") },
      ...layout,
      xaxis: { ...line, ...layout.xaxis },
      yaxis: { ...line, ...layout.yaxis },
    },
    { responsive: true, displaylogo: false, displayModeBar: narrow ? false : "hover", modeBarButtonsToRemove: ["select2d", "lasso2d"] },
  );
};

// The rows of the chosen group that have numbers on the chosen set.
Review.rows = () =>
  Review.data.rows
    .map((row, index) => ({ ...row, index }))
    .filter((row) => row.group === Review.state.group && row.sets[Review.state.set]);
Review.rowsOfGroup = () =>
  Review.data.rows.map((row, index) => ({ ...row, index })).filter((row) => row.group === Review.state.group);
Review.mean = (row, metric) => row.sets[Review.state.set]?.mean[metric] ?? null;

// Metrics that some row has on the chosen set.
Review.metrics = () =>
  Object.keys(Review.data.metrics).filter((metric) => Review.rows().some((row) => Review.mean(row, metric) !== null));

// Bicubic enlargement's numbers: one entry a degradation that the rows were tested with.
Review.bicubic = () => {
  const found = [];
  for (const row of Review.rows()) {
    const numbers = row.sets[Review.state.set].bicubic;
    const known = found.some((of) => Object.entries(numbers).every(([key, value]) => Math.abs(of[key] - value) < 1e-6));
    if (Object.keys(numbers).length && !known) found.push(numbers);
  }
  return found;
};

// Rows from best to worst by PSNR, then those without.
Review.ranked = () => {
  const value = (row) => Review.mean(row, "psnr") ?? -Infinity;
  return Review.rows().sort((a, b) => value(b) - value(a));
};

Review.copyable = (text) =>
  Review.el("div", { class: "command" }, Review.el("code", {}, text),
    Review.el("button", { type: "button", onclick: (event) => navigator.clipboard?.writeText(text).then(() => { event.target.textContent = "copied"; }) }, "copy"));
