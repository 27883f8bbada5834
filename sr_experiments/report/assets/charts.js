// Charts: the distortion-perception plane, heat map and factors of a sweep, training curves.
"use strict";

(() => {
  const { data, el, byId } = Review;
  const DISTORTION = ["psnr", "ssim", "ms_ssim", "vif", "lr_psnr"];

  // Points that no other point beats in both metrics.
  Review.front = (points) =>
    points.filter((p) => !points.some((q) => q.x * q.sx >= p.x * p.sx && q.y * q.sy >= p.y * p.sy && (q.x * q.sx > p.x * p.sx || q.y * q.sy > p.y * p.sy)));

  Review.views.tradeoff = () => {
    const metrics = Review.metrics().filter((metric) => Review.better(metric) !== 0);
    const perceptual = metrics.filter((metric) => !DISTORTION.includes(metric) && metric !== "similarity");
    const named = metrics.map((metric) => [metric, Review.metricName(metric)]);
    Review.fillMenu(byId("plane-x"), named, "psnr");
    Review.fillMenu(byId("plane-y"), named, perceptual[0] ?? metrics[1]);
    const [mx, my] = [byId("plane-x").value, byId("plane-y").value];
    const points = Review.rows()
      .map((row) => ({ row, x: Review.mean(row, mx), y: Review.mean(row, my), sx: Review.better(mx), sy: Review.better(my) }))
      .filter((point) => point.x !== null && point.y !== null);
    const front = Review.front(points).sort((a, b) => a.x - b.x);
    byId("plane-note").textContent =
      (perceptual.length ? "" : "No perceptual metric (LPIPS, DISTS, ...) was measured in these runs, so the plane shows two measures of distortion. ") +
      `The line is the Pareto front: ${front.length} of ${points.length} rows that no other beats in both. Click a point for its run.`;
    const few = points.length <= 12;
    // Of a long front only some are named, evenly from end to end.
    const labelled = new Set(front.filter((_, index) => front.length <= 10 || index % Math.ceil(front.length / 8) === 0 || index === front.length - 1));
    const trace = (of, name, extra) => ({
      type: "scatter", name, x: of.map((p) => p.x), y: of.map((p) => p.y), customdata: of.map((p) => p.row.index),
      hovertext: of.map((p) => Review.wrapped(p.row.name)),
      text: of.map((p) => (few || (extra.front && labelled.has(p)) ? Review.wrapped(p.row.name.length > 70 ? `${p.row.name.slice(0, 68)}…` : p.row.name) : "")),
      error_x: spread(of, mx), error_y: spread(of, my),
      textposition: of.map((_, index) => (index % 2 ? "bottom center" : "top center")), cliponaxis: false, hovertemplate: `%{hovertext}<br>${Review.metricName(mx)} %{x:.3f}, ${Review.metricName(my)} %{y:.4f}<extra></extra>`,
      ...extra,
    });
    const others = points.filter((point) => !front.includes(point));
    const bicubic = Review.bicubic().filter((of) => of[mx] !== undefined && of[mx] !== null && of[my] !== undefined && of[my] !== null);
    const traces = [
      trace(others, "other rows", { mode: few ? "markers+text" : "markers", marker: { symbol: "circle-open", size: 10, color: Review.colour(0), line: { width: 2 } } }),
      trace(front, "Pareto front", { front: true, mode: "lines+markers+text", line: { shape: "linear", dash: "dot", color: Review.colour(3) }, marker: { symbol: "diamond", size: 12, color: Review.colour(3) } }),
      { type: "scatter", name: "bicubic", mode: "markers+text", x: bicubic.map((of) => of[mx]), y: bicubic.map((of) => of[my]), text: bicubic.map(() => "bicubic"), textposition: "bottom center", hoverinfo: "x+y+name", marker: { symbol: "x", size: 11, color: Review.css("--text") } },
    ].filter((of) => of.x.length);
    for (const of of traces) delete of.front;
    Review.draw(byId("plane"), traces, {
      xaxis: { title: { text: Review.axisName(mx) } }, yaxis: { title: { text: Review.axisName(my) } },
      legend: { orientation: "h", y: 1.08 }, hovermode: "closest",
    }).then((chart) => {
      chart.removeAllListeners("plotly_click");
      chart.on("plotly_click", (event) => { const row = event.points[0].customdata; if (row !== undefined) Review.showRow(row); });
    });
  };

  const spread = (points, metric) => {
    const values = points.map((p) => p.row.sets[Review.state.set].spread[metric]);
    return { type: "data", array: values.map((value) => value ?? 0), visible: values.some((value) => value), thickness: 1, color: Review.css("--muted") };
  };

  // The values of a column in their order: numbers by size, texts by the alphabet.
  const levels = (rows, key) => {
    const found = [...new Set(rows.map((row) => row.values[key]).filter((value) => value !== null && value !== undefined))];
    return found.sort((a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true })));
  };
  const average = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

  Review.views.sweep = () => {
    const rows = Review.rows();
    const columns = data.columns.filter((column) => levels(rows, column.key).length > 1);
    const named = columns.map((column) => [column.key, column.name]);
    const metrics = Review.metrics();
    Review.fillMenu(byId("sweep-metric"), metrics.map((metric) => [metric, Review.metricName(metric)]), "psnr");
    Review.fillMenu(byId("heat-x"), named, columns[0]?.key);
    Review.fillMenu(byId("heat-y"), named, columns[1]?.key);
    const metric = byId("sweep-metric").value;
    const measured = rows.filter((row) => Review.mean(row, metric) !== null);
    const [kx, ky] = [byId("heat-x").value, byId("heat-y").value];
    const possible = columns.length > 1 && kx !== ky;
    byId("heat").hidden = !possible;
    byId("heat-note").textContent = possible ? "" : columns.length > 1 ? "Choose two different factors for the heat map." : "A heat map needs two factors with several values each.";
    if (possible) heat(measured, metric, kx, ky, columns);
    factors(measured, metric, columns);
  };

  const heat = (rows, metric, kx, ky, columns) => {
    const [xs, ys] = [levels(rows, kx), levels(rows, ky)];
    const cell = (x, y) => rows.filter((row) => row.values[kx] === x && row.values[ky] === y).map((row) => Review.mean(row, metric));
    const table = ys.map((y) => xs.map((x) => cell(x, y)));
    const most = Math.max(...table.flat().map((values) => values.length));
    byId("heat-note").textContent = most > 1 ? "A cell is the mean over rows that differ in other factors; n is their number." : "";
    const small = xs.length * ys.length <= 120;
    const shown = (value) => Review.plain(Review.value(value));
    const name = (key) => Review.plain(columns.find((column) => column.key === key).name);
    Review.draw(byId("heat"), [{
      type: "heatmap", colorscale: "Cividis", reversescale: Review.better(metric) < 0, xgap: 2, ygap: 2,
      x: xs.map(shown), y: ys.map(shown),
      z: table.map((line) => line.map((values) => (values.length ? average(values) : null))),
      text: table.map((line) => line.map((values) => (values.length ? Review.number(average(values), Review.digits(metric)) + (most > 1 ? `<br>n=${values.length}` : "") : ""))),
      texttemplate: small ? "%{text}" : "", hovertemplate: `${name(kx)}=%{x}<br>${name(ky)}=%{y}<br>%{text}<extra></extra>`,
      colorbar: { title: { text: Review.metricName(metric) }, thickness: 12 },
    }], { xaxis: { type: "category", title: { text: name(kx) }, showgrid: false }, yaxis: { type: "category", title: { text: name(ky) }, showgrid: false }, height: Math.max(260, 120 + 56 * ys.length) });
  };

  const factors = (rows, metric, columns) => {
    const holder = byId("factors");
    for (const chart of holder.children) Plotly.purge(chart);
    holder.replaceChildren();
    for (const column of columns.slice(0, 16)) {
      const values = levels(rows, column.key);
      if (values.length < 2) continue;
      // Numbers over several powers of ten stand on a logarithmic axis, or side by side where one of them is 0.
      const numbers = values.every((value) => typeof value === "number");
      const positive = values.filter((value) => value > 0);
      const wide = numbers && values[0] >= 0 && positive.at(-1) / positive[0] > 30;
      const numeric = numbers && !(wide && values[0] === 0);
      const shown = (value) => (numeric ? value : Review.plain(Review.value(value)));
      const means = values.map((value) => average(rows.filter((row) => row.values[column.key] === value).map((row) => Review.mean(row, metric))));
      const present = rows.filter((row) => values.includes(row.values[column.key]));
      const chart = el("div", { class: "chart small" });
      holder.append(chart);
      Review.draw(chart, [
        { type: "scatter", mode: "markers", x: present.map((row) => shown(row.values[column.key])), y: present.map((row) => Review.mean(row, metric)), hovertext: present.map((row) => Review.wrapped(row.name)), hovertemplate: "%{hovertext}<br>%{y:.4f}<extra></extra>", marker: { symbol: "circle-open", size: 9, color: Review.colour(0), line: { width: 2 } } },
        { type: "scatter", mode: "lines+markers", x: values.map(shown), y: means, hovertemplate: "mean %{y:.4f}<extra></extra>", line: { color: Review.colour(3) }, marker: { symbol: "diamond", size: 9 } },
      ], { showlegend: false, xaxis: { title: { text: Review.plain(column.name) }, ...(numeric ? { type: wide ? "log" : "linear" } : { type: "category", categoryorder: "array", categoryarray: values.map(shown) }) }, yaxis: { title: { text: Review.metricName(metric) } } });
    }
    if (!holder.children.length) holder.append(el("p", { class: "hint" }, "The rows of this group differ in no factor that was set on the command line."));
  };

  // A moving average that starts without a bias towards zero.
  const smooth = (values, strength) => {
    let [sum, weight] = [0, 0];
    return values.map((value) => {
      sum = strength * sum + (1 - strength) * value;
      weight = strength * weight + (1 - strength);
      return sum / weight;
    });
  };

  const GAME = [
    ["What the discriminator says of real and fake images", [["train/d_real", "real"], ["train/d_fake", "fake"]]],
    ["Accuracy of the discriminator in training", [["train/d_accuracy_real", "real"], ["train/d_accuracy_fake", "fake"]]],
    ["Accuracy of the discriminator on validation images", [["val/d_accuracy_real", "real"], ["val/d_accuracy_fake", "fake"]]],
    ["Gradient norms", [["train/gradient_norm", "network"], ["train/d_gradient_norm", "discriminator"]]],
  ];

  Review.views.curves = () => {
    const chosen = Review.state.chosen.filter((row) => data.rows[row].group === Review.state.group);
    const runs = data.runs.map((run, index) => ({ ...run, index })).filter((run) => run.group === Review.state.group && (!chosen.length || chosen.includes(run.row)) && Object.keys(run.curves).length);
    const names = [...new Set(runs.flatMap((run) => Object.keys(run.curves)))].sort();
    Review.fillMenu(byId("curve"), names.map((name) => [name, name]), names.includes("val/psnr") ? "val/psnr" : "train/loss");
    const strength = Number(byId("smoothing").value);
    byId("smoothing-value").textContent = strength.toFixed(2);
    byId("curve-note").textContent = `${runs.length} runs${chosen.length ? " of the rows ticked in the ranking" : "; tick rows in the ranking to see only those"}. Curves of a row share colour and dash; validation curves are not smoothed.`;
    const places = [...new Set(runs.map((run) => run.row))];
    const panels = names.length ? [[byId("curve").value, [[byId("curve").value, ""]]]] : [];
    panels.push(...GAME.filter(([, curves]) => runs.some((run) => curves.some(([name]) => run.curves[name]))));
    const holder = byId("curve-panels");
    const charts = () => holder.querySelectorAll(".chart");
    while (charts().length > panels.length) { Plotly.purge([...charts()].at(-1)); holder.lastChild.remove(); }
    if (!charts().length) holder.replaceChildren();
    while (charts().length < panels.length) holder.append(el("div", {}, el("h2", {}), el("div", { class: "chart" })));
    panels.forEach(([title, curves], panel) => {
      const seen = new Set();
      const traces = [];
      for (const run of runs) {
        curves.forEach(([name, kind], which) => {
          if (!run.curves[name]) return;
          const [axis, values] = run.curves[name];
          const place = places.indexOf(run.row);
          const label = data.rows[run.row].name + (kind ? `: ${kind}` : "");
          traces.push({
            type: "scatter", mode: values.length < 8 ? "lines+markers" : "lines", name: Review.wrapped(label, 44), legendgroup: `${run.row}/${kind}`, showlegend: !seen.has(label),
            x: data.steps[axis], y: name.startsWith("val/") ? values : smooth(values, strength), opacity: runs.length > 40 ? 0.6 : 0.95,
            line: { color: Review.colour(place), dash: curves.length > 1 ? Review.dashes[which * 2] : Review.dashes[Math.floor(place / 8) % 6], width: 1.6 },
            marker: { symbol: Review.markers[place % 10], size: 6 },
            hovertemplate: `${Review.wrapped(run.name)}${kind ? `<br>${kind}` : ""}<br>step %{x}: %{y:.5g}<extra></extra>`,
          });
          seen.add(label);
        });
      }
      const chart = charts()[panel];
      chart.previousSibling.textContent = `${title}${curves.length > 1 ? ` (${curves[0][1]}: solid, ${curves[1][1]}: dotted)` : ""} over generator updates`;
      Review.draw(chart, traces, {
        margin: { l: 60, r: 20, t: 10, b: 30 },
        showlegend: panel === 0 && seen.size > 1 && seen.size <= 24, legend: { orientation: "h", yanchor: "top", y: -0.12 }, hovermode: "closest",
      });
    });
    if (!panels.length) holder.replaceChildren(el("p", { class: "hint" }, "No run of this group has a metrics.csv with numbers."));
  };

  for (const [view, ids] of [["tradeoff", ["plane-x", "plane-y"]], ["sweep", ["sweep-metric", "heat-x", "heat-y"]], ["curves", ["curve", "smoothing"]]]) {
    for (const id of ids) byId(id).addEventListener(id === "smoothing" ? "input" : "change", () => Review.views[view]());
  }
})();
