// The ranking: a table that sorts, filters and chooses rows.
"use strict";

(() => {
  const { data, el } = Review;
  let table = null;

  // HR scores best by definition; metrics without a known best are left open.
  const PERFECT = { psnr: Infinity, lr_psnr: null, ssim: 1, ms_ssim: 1, vif: 1, lpips: 0, lpips_vgg: 0, lpips_squeeze: 0, dists: 0, vgg19_distance: 0 };

  const records = () => {
    const metrics = Review.metrics();
    const anchors = Review.bicubic().map((numbers, index, all) => ({
      id: `bicubic${index}`, anchor: true, name: all.length > 1 ? `bicubic (${index + 1} of ${all.length})` : "bicubic",
      ...Object.fromEntries(metrics.map((metric) => [`m_${metric}`, numbers[metric] ?? null])),
    }));
    if (Review.rows().some((row) => row.sets[Review.state.set].final)) {
      anchors.push({ id: "hr", anchor: true, name: "HR", ...Object.fromEntries(metrics.map((metric) => [`m_${metric}`, PERFECT[metric] ?? null])) });
    }
    const rows = Review.rowsOfGroup().map((row) => {
      const numbers = row.sets[Review.state.set];
      const record = {
        id: row.index, name: row.name, status: numbers && !numbers.final ? `${row.status}, from validation` : row.status,
        seeds: row.runs.length, parameters: row.parameters, steps: row.steps, seconds: row.seconds,
        against: numbers?.against_best ? numbers.against_best[0] : numbers?.is_best ? 0 : null,
        interval: numbers?.against_best, is_best: numbers?.is_best,
      };
      data.columns.forEach((column, place) => { record[`c_${place}`] = row.values[column.key]; });
      for (const metric of metrics) {
        record[`m_${metric}`] = numbers?.mean[metric] ?? null;
        record[`s_${metric}`] = numbers?.spread[metric] ?? null;
      }
      return record;
    });
    return [...anchors, ...rows];
  };

  const columns = (rows) => {
    const text = (cell) => el("span", {}, Review.value(cell.getValue()));
    // Texts and numbers in one column; empty cells always last.
    const mixed = (a, b, _a, _b, _column, direction) => {
      const empty = (value) => value === null || value === undefined || value === "";
      if (empty(a) || empty(b)) return (empty(a) ? 1 : 0) * (direction === "asc" ? 1 : -1) - (empty(b) ? 1 : 0) * (direction === "asc" ? 1 : -1);
      return typeof a === "number" && typeof b === "number" ? (a === b ? 0 : a - b) : String(a).localeCompare(String(b));
    };
    const titled = (title) => ({ title: "", titleFormatter: () => el("span", { title }, title) });
    const best = (metric) => {
      const values = rows.filter((row) => !row.anchor).map((row) => row[`m_${metric}`]).filter((value) => value !== null);
      const sign = Review.better(metric);
      return sign === 0 || !values.length ? null : sign > 0 ? Math.max(...values) : Math.min(...values);
    };
    const filter = { headerFilter: "input", headerFilterPlaceholder: "filter" };
    const wide = innerWidth >= 720;
    return [
      { ...titled("configuration"), field: "name", frozen: wide, sorter: "string", ...filter, minWidth: 150, maxWidth: wide ? 420 : 210, cssClass: "name",
        formatter: (cell) => {
          const { anchor, id } = cell.getRow().getData();
          return anchor ? el("em", {}, cell.getValue()) : el("button", { type: "button", class: "link", onclick: (event) => { event.stopPropagation(); Review.showRow(id); } }, cell.getValue());
        } },
      ...Review.metrics().map((metric) => ({
        ...titled(Review.metricName(metric) + (Review.better(metric) > 0 ? " ↑" : Review.better(metric) < 0 ? " ↓" : "")),
        field: `m_${metric}`, hozAlign: "right", sorter: mixed, headerSortStartingDir: Review.better(metric) < 0 ? "asc" : "desc",
        formatter: (cell) => {
          const digits = Review.digits(metric);
          const spread = cell.getRow().getData()[`s_${metric}`];
          const shown = Review.number(cell.getValue(), digits) + (spread !== null && spread !== undefined ? ` ±${spread.toFixed(digits)}` : "");
          const isBest = !cell.getRow().getData().anchor && cell.getValue() !== null && cell.getValue() === best(metric);
          return el(isBest ? "strong" : "span", {}, shown);
        },
      })),
      { ...titled("PSNR against best"), field: "against", hozAlign: "right", sorter: mixed,
        formatter: (cell) => {
          const { interval, is_best: isBest } = cell.getRow().getData();
          if (isBest) return el("span", {}, "best");
          if (!interval) return el("span", {}, "");
          const [mean, low, high, images] = interval;
          if (images < Review.FEWEST_IMAGES) return el("span", { title: "too few images for an interval" }, `${Review.signed(mean, 3)} (${images} images)`);
          const open = low <= 0 && high >= 0;
          return el("span", { title: open ? "the interval reaches 0: not told apart" : "" },
            `${Review.signed(mean, 3)} [${Review.signed(low, 3)}, ${Review.signed(high, 3)}]${open ? " ≈" : ""}`);
        } },
      ...data.columns.map((column, place) => ({ ...titled(column.name), field: `c_${place}`, sorter: mixed, ...filter, formatter: text })),
      { ...titled("seeds"), field: "seeds", hozAlign: "right", sorter: mixed, formatter: text },
      { ...titled("parameters"), field: "parameters", hozAlign: "right", sorter: mixed, formatter: (cell) => el("span", {}, cell.getRow().getData().anchor ? "" : Review.thousands(cell.getValue())) },
      { ...titled("steps"), field: "steps", hozAlign: "right", sorter: mixed, formatter: (cell) => el("span", {}, cell.getRow().getData().anchor ? "" : Review.thousands(cell.getValue())) },
      { ...titled("time"), field: "seconds", hozAlign: "right", sorter: mixed, formatter: (cell) => el("span", {}, cell.getRow().getData().anchor ? "" : Review.duration(cell.getValue())) },
      { ...titled("status"), field: "status", sorter: mixed, ...filter, formatter: text },
    ];
  };

  const contains = (record, words) => {
    const text = Object.values(record).map((value) => String(value ?? "").toLowerCase()).join(" ");
    return words.every((word) => text.includes(word));
  };

  Review.views.ranking = () => {
    const rows = records();
    table?.destroy();
    table = new Tabulator(Review.byId("leaderboard"), {
      data: rows,
      columns: columns(rows),
      layout: "fitDataFill",
      maxHeight: "72vh",
      frozenRows: rows.filter((row) => row.anchor).map((row) => row.id),
      frozenRowsField: "id",
      rowHeader: { formatter: "rowSelection", titleFormatter: "rowSelection", titleFormatterParams: { rowRange: "active" }, headerSort: false, resizable: false, width: 36, hozAlign: "center" },
      selectableRows: true,
      selectableRowsCheck: (row) => !row.getData().anchor,
      selectableRowsRangeMode: "click",
      initialSort: [{ column: "m_psnr", dir: "desc" }].filter(() => Review.metrics().includes("psnr")),
      placeholder: "no row fits",
    });
    table.on("rowSelectionChanged", (chosen) => {
      Review.state.chosen = chosen.filter((row) => !row.anchor).map((row) => row.id);
      Review.showChosen();
    });
    table.on("dataFiltered", (_filters, shown) => {
      const all = rows.filter((row) => !row.anchor).length;
      const left = shown.filter((row) => !row.getData().anchor).length;
      Review.byId("count").textContent = left < all ? `${left} of ${all} rows` : `${all} rows`;
    });
    table.on("tableBuilt", () => {
      table.selectRow(Review.state.chosen.filter((id) => rows.some((row) => row.id === id)));
      search();
    });
    Review.table = table;
  };

  const search = () => {
    const words = Review.byId("find").value.toLowerCase().split(/\s+/).filter(Boolean);
    if (words.length) table.setFilter((record) => record.anchor || contains(record, words));
    else table.clearFilter();
  };
  Review.byId("find").addEventListener("input", search);
})();
