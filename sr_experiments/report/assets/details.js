// Two rows against each other, two configs against each other, what failed, and a row in full.
"use strict";

(() => {
  const { data, el, byId } = Review;
  const RESAMPLES = 4000;

  // Random numbers that are the same whenever the page is opened (Tommy Ettinger's mulberry32).
  const generator = (seed) => () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };

  // The mean of differences and the 95 % interval of its percentile bootstrap over the images.
  Review.bootstrap = (differences) => {
    const random = generator(1);
    const n = differences.length;
    const means = Float64Array.from({ length: RESAMPLES }, () => {
      let sum = 0;
      for (let draw = 0; draw < n; draw += 1) sum += differences[Math.floor(random() * n)];
      return sum / n;
    }).sort();
    const quantile = (share) => {
      const place = share * (RESAMPLES - 1);
      const low = Math.floor(place);
      return means[low] + (place - low) * (means[Math.min(low + 1, RESAMPLES - 1)] - means[low]);
    };
    return { mean: differences.reduce((sum, value) => sum + value, 0) / n, low: quantile(0.025), high: quantile(0.975), n };
  };

  const differencesOf = (first, second, metric) => {
    const [a, b] = [first, second].map((row) => row.sets[Review.state.set].images);
    return Object.keys(a)
      .filter((image) => typeof a[image]?.[metric] === "number" && typeof b[image]?.[metric] === "number")
      .map((image) => ({ image, value: a[image][metric] - b[image][metric] }));
  };

  const verdict = (interval, metric) => {
    if (!interval) return "not told: fewer than two images in common";
    if (interval.n < Review.FEWEST_IMAGES) return `not told: too few images (${interval.n})`;
    if (interval.low <= 0 && interval.high >= 0) return "not told apart: the interval reaches 0";
    const sign = Review.better(metric) * Math.sign(interval.mean);
    return sign === 0 ? "different" : sign > 0 ? "A is better" : "B is better";
  };

  Review.views.differences = () => {
    const rows = Review.ranked().filter((row) => row.sets[Review.state.set].final);
    const metrics = Review.metrics();
    Review.fillMenu(byId("first"), rows.map((row) => [row.index, row.name]), rows[0]?.index);
    Review.fillMenu(byId("second"), rows.map((row) => [row.index, row.name]), rows[1]?.index);
    Review.fillMenu(byId("difference-metric"), metrics.map((metric) => [metric, Review.metricName(metric)]), "psnr");
    const [first, second] = [byId("first"), byId("second")].map((menu) => rows.find((row) => String(row.index) === menu.value));
    const metric = byId("difference-metric").value;
    const possible = first && second && first !== second;
    byId("difference-chart").hidden = byId("difference-table").hidden = !possible;
    if (!possible) { byId("verdict").textContent = "Choose two different rows that were tested on this set."; return; }
    const lines = metrics.map((name) => {
      const values = differencesOf(first, second, name).map((of) => of.value);
      return { name, interval: values.length > 1 ? Review.bootstrap(values) : null };
    });
    byId("difference-table").replaceChildren(tableOf(
      ["metric", "A − B", "95 % interval", "images", ""],
      lines.map(({ name, interval }) => {
        const digits = Review.digits(name) + 1;
        return [Review.axisName(name), interval ? Review.signed(interval.mean, digits) : "–", interval ? `${Review.signed(interval.low, digits)} to ${Review.signed(interval.high, digits)}` : "–", interval ? interval.n : "–", verdict(interval, name)];
      }),
    ));
    const of = lines.find((line) => line.name === metric).interval;
    byId("verdict").textContent = of
      ? `${Review.metricName(metric)}: A − B = ${Review.signed(of.mean, 3)} (${Review.signed(of.low, 3)} to ${Review.signed(of.high, 3)}, ${of.n} images): ${verdict(of, metric)}. ` +
        "The interval says what other images of the kind might have shown (bootstrap over images, seeds averaged first); it says nothing about other seeds."
      : "The two rows have fewer than two images in common.";
    const bars = differencesOf(first, second, metric).sort((a, b) => b.value - a.value);
    Review.draw(byId("difference-chart"), [{
      type: "bar", orientation: "h", x: bars.map((bar) => bar.value), y: bars.map((bar) => Review.plain(bar.image)),
      text: bars.map((bar) => Review.signed(bar.value, Review.digits(metric))), textposition: "auto", insidetextanchor: "start",
      marker: { color: bars.map((bar) => Review.colour(bar.value * (Review.better(metric) || 1) > 0 ? 0 : 3)), pattern: { shape: bars.map((bar) => (bar.value * (Review.better(metric) || 1) > 0 ? "" : "/")) } },
      hovertemplate: "%{y}: %{x:.4f}<extra></extra>",
    }], { xaxis: { title: { text: `${Review.metricName(metric)}: A − B` } }, yaxis: { type: "category", autorange: "reversed" }, height: 130 + 26 * bars.length,
      shapes: of ? [{ type: "rect", yref: "paper", y0: 0, y1: 1, x0: of.low, x1: of.high, fillcolor: Review.css("--muted"), opacity: 0.25, layer: "below", line: { width: 0 } }] : [] });
  };

  const tableOf = (head, lines) =>
    el("div", { class: "scroll" }, el("table", {}, el("thead", {}, el("tr", {}, ...head.map((text) => el("th", {}, text)))),
      el("tbody", {}, ...lines.map((line) => el("tr", {}, ...line.map((cell) => el("td", {}, cell instanceof Node ? cell : String(cell))))))));

  Review.views.configs = () => {
    const options = data.runs.map((run, index) => [index, `${run.name} — ${run.label}`]);
    const order = Review.ranked().flatMap((row) => row.runs);
    Review.fillMenu(byId("config-first"), options, order[0]);
    Review.fillMenu(byId("config-second"), options, order.find((run) => data.runs[run].row !== data.runs[order[0]].row) ?? order[1] ?? data.runs.length - 1);
    const [first, second] = [Number(byId("config-first").value), Number(byId("config-second").value)];
    const [a, b] = [data.configs[first], data.configs[second]];
    const keys = [...new Set([...Object.keys(a), ...Object.keys(b)])].filter((key) => a[key] !== b[key]).sort();
    byId("config-table").replaceChildren(
      keys.length ? tableOf(["key", "A", "B"], keys.map((key) => [el("code", {}, key), a[key] ?? "(none)", b[key] ?? "(none)"])) : el("p", {}, "The two configs are the same."),
      el("p", { class: "hint" }, `${Object.keys(data.common).length} keys have one value in all runs.`),
      el("h3", {}, "A"), Review.copyable(data.runs[first].command), el("h3", {}, "B"), Review.copyable(data.runs[second].command),
      el("details", {}, el("summary", {}, "what all runs have in common"), tableOf(["key", "value"], Object.entries(data.common).map(([key, value]) => [el("code", {}, key), value]))),
    );
  };

  const runCard = (run) =>
    el("article", {}, el("h3", {}, run.name), el("p", {}, el("b", {}, run.status), run.steps === null ? "" : ` at step ${Review.thousands(run.steps)}`, ` — ${run.label} `,
      el("a", { href: `${run.folder}/` }, "folder")),
      run.error ? el("pre", { class: "error" }, run.error) : null, ...run.notes.map((note) => el("p", {}, note)),
      run.cwd ? el("p", { class: "hint" }, `Given in ${run.cwd}:`) : null, Review.copyable(run.command));

  Review.views.failures = () => {
    const runs = data.runs.filter((run) => run.status !== "finished");
    byId("failed").replaceChildren(...(runs.length ? runs.map(runCard) : [el("p", {}, "All runs have finished.")]));
  };

  Review.showRow = (index) => {
    const row = data.rows[index];
    const dialog = byId("detail");
    dialog.lastElementChild.replaceChildren(
      el("h2", {}, row.name), el("p", { class: "hint" }, data.groups[row.group]),
      tableOf(["set", ...Object.keys(data.metrics).map(Review.metricName)], Object.entries(row.sets).map(([name, of]) => [
        name + (of.final ? "" : " (validation so far)"), ...Object.keys(data.metrics).map((metric) => Review.number(of.mean[metric], Review.digits(metric)))])),
      ...row.runs.map((run) => runCard(data.runs[run])),
    );
    dialog.showModal();
  };

  for (const [view, ids] of [["differences", ["first", "second", "difference-metric"]], ["configs", ["config-first", "config-second"]]]) {
    for (const id of ids) byId(id).addEventListener("change", () => Review.views[view]());
  }
})();
