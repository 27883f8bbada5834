// Images: up to four at once, moved and magnified together, a slider between two, error maps, and telling crops.
"use strict";

(() => {
  const { data, el, byId } = Review;
  const SLOTS = 4;
  let viewers = [];
  let leader = null;

  const embedded = new Map();
  if (data.embedded) {
    for (const node of document.querySelectorAll("script[data-image]")) {
      const bytes = node.textContent;
      if (bytes) embedded.set(node.dataset.image, `data:image/png;base64,${bytes}`);
    }
  }
  const path = (name) => name.split("/").map(encodeURIComponent).join("/");

  // The address of an image; null where there is none. `source` is a run's place, "HR" or "bicubic".
  const address = (source, set, image) => {
    if (source === "HR" || source === "bicubic") {
      const name = `${Review.state.group}/${source}/${set}/${image}`;
      return (data.embedded ? embedded.get(name) : data.files[name]) ?? null;
    }
    const run = data.runs[source];
    if (!run?.images[set]?.includes(image)) return null;
    return data.embedded ? embedded.get(`run${source}/${set}/${image}`) ?? null : `${run.folder}/images/${path(set)}/${path(image)}.png`;
  };

  const nameOf = (source) => (source === "HR" ? "HR (the original)" : source === "bicubic" ? "bicubic" : data.runs[source].name);

  const scoresOf = (source, set, image) => {
    if (source === "HR") return "nothing to score";
    const runs = source === "bicubic" ? data.runs.filter((run) => run.group === Review.state.group) : [data.runs[source]];
    const scores = runs.map((run) => run.scores[set]?.[image]).find(Boolean);
    if (!scores) return "no scores";
    const prefix = source === "bicubic" ? "bicubic_" : "";
    return Object.keys(data.metrics)
      .filter((metric) => typeof scores[prefix + metric] === "number")
      .map((metric) => `${Review.metricName(metric)} ${Review.number(scores[prefix + metric], Review.digits(metric))}`)
      .join(" · ");
  };

  const chosen = () => [...byId("slots").querySelectorAll("select")].map((menu) => menu.value).filter((value) => value !== "");

  const fillSlots = (image) => {
    const set = Review.state.set;
    const ranked = Review.ranked();
    const ticked = ranked.filter((row) => Review.state.chosen.includes(row.index));
    const runs = [...ranked, ...Review.rowsOfGroup().filter((row) => !ranked.some((other) => other.index === row.index))].flatMap((row) => row.runs);
    const available = runs.filter((run) => address(run, set, image));
    const anchors = ["HR", "bicubic"].filter((source) => address(source, set, image));
    const first = (ticked.length ? ticked : ranked).map((row) => row.runs.find((run) => address(run, set, image))).filter((run) => run !== undefined);
    const wanted = ticked.length > 2 ? first.slice(0, SLOTS) : [...first.slice(0, 2), ...anchors];
    const options = [["", "–"], ...anchors.map((source) => [source, nameOf(source)]), ...available.map((run) => [run, nameOf(run)])];
    const menus = [...byId("slots").querySelectorAll("select")];
    const key = JSON.stringify([Review.state.group, Review.state.chosen]);
    const renew = byId("slots").dataset.key !== key;
    byId("slots").dataset.key = key;
    menus.forEach((menu, slot) => {
      if (renew) menu.replaceChildren();
      Review.fillMenu(menu, options, wanted[slot] ?? "");
    });
  };

  for (let slot = 0; slot < SLOTS; slot += 1) {
    byId("slots").append(el("label", {}, `${"ABCD"[slot]} `, el("select", { id: `slot${slot}`, onchange: () => show() })));
  }

  const source = (url) => ({ type: "image", url, buildPyramid: false });

  const makeViewer = (holder) =>
    OpenSeadragon({
      element: holder, drawer: "canvas", showNavigationControl: false, imageSmoothingEnabled: false, animationTime: 0.15,
      maxZoomPixelRatio: 48, minZoomImageRatio: 0.9, visibilityRatio: 0.6, crossOriginPolicy: false, preserveImageSizeOnResize: false,
      gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true }, gestureSettingsTouch: { flickEnabled: false },
    });

  // Whichever viewer is touched leads; the others follow to the same place at the same magnification.
  const follow = (viewer) => {
    const lead = () => { leader = viewer; };
    for (const event of ["canvas-press", "canvas-scroll", "canvas-pinch", "canvas-key", "canvas-enter"]) viewer.addHandler(event, lead);
    viewer.addHandler("viewport-change", () => {
      if (leader !== viewer) return;
      const bounds = viewer.viewport.getBounds(true);
      for (const other of viewers) if (other !== viewer && other.world.getItemCount()) other.viewport.fitBounds(bounds, true);
    });
  };

  const close = () => {
    for (const viewer of viewers) viewer.destroy();
    viewers = [];
    leader = null;
    byId("viewers").replaceChildren();
  };

  const frame = (title, caption) => {
    const holder = el("div", { class: "viewer" });
    byId("viewers").append(el("figure", {}, holder, el("figcaption", {}, el("b", {}, title), el("br"), caption)));
    return holder;
  };

  const sideBySide = (sources, set, image) => {
    byId("viewers").className = `count${sources.length}`;
    for (const of of sources) {
      const viewer = makeViewer(frame(nameOf(of), scoresOf(of, set, image)));
      viewer.open(source(address(of, set, image)));
      viewers.push(viewer);
      follow(viewer);
    }
  };

  // The absolute difference is drawn by the browser's `difference` of two layers; a filter makes it bright enough to be seen.
  const errorMaps = (sources, set, image) => {
    const truth = address("HR", set, image) ? "HR" : sources[0];
    const shown = sources.filter((of) => of !== truth);
    byId("viewers").className = `count${shown.length} error`;
    byId("image-note").textContent = truth === "HR"
      ? `The absolute difference from the original, ${byId("gain").value} times as bright. Black is no error.`
      : `There is no original, so the difference from ${nameOf(truth)} is shown, ${byId("gain").value} times as bright.`;
    for (const of of shown) {
      const viewer = makeViewer(frame(`|${nameOf(of)} − ${truth === "HR" ? "HR" : nameOf(truth)}|`, scoresOf(of, set, image)));
      viewer.open([source(address(of, set, image)), { ...source(address(truth, set, image)), compositeOperation: "difference" }]);
      // `open` puts images on top of each other only when they share a place.
      viewer.addHandler("open", () => {
        const [below, above] = [viewer.world.getItemAt(0), viewer.world.getItemAt(1)];
        if (below && above) { above.setPosition(below.getBounds(true).getTopLeft(), true); above.setWidth(below.getBounds(true).width, true); above.setCompositeOperation("difference"); }
        viewer.viewport.goHome(true);
      });
      viewers.push(viewer);
      follow(viewer);
    }
    brighten();
  };

  const brighten = () => byId("viewers").style.setProperty("--gain", byId("gain").value);

  const slider = (sources, set, image) => {
    byId("viewers").className = "count1";
    const [left, right] = sources;
    const holder = frame(`${nameOf(left)} | ${nameOf(right)}`, `left: ${scoresOf(left, set, image)} — right: ${scoresOf(right, set, image)}`);
    const viewer = makeViewer(holder);
    const range = el("input", { id: "divider", type: "range", min: 0, max: 1000, value: 500, "aria-label": "how much of the left image is shown" });
    const line = el("div", { class: "divider" });
    holder.append(line);
    holder.after(range);
    const cut = () => {
      const share = range.value / 1000;
      line.style.left = `${share * 100}%`;
      const above = viewer.world.getItemAt(1);
      if (!above) return;
      const size = above.getContentSize();
      const edge = above.viewerElementToImageCoordinates(new OpenSeadragon.Point(share * holder.clientWidth, 0)).x;
      const x = Math.min(Math.max(edge, 0), size.x);
      above.setOpacity(x >= size.x ? 0 : 1);
      above.setClip(new OpenSeadragon.Rect(x, 0, Math.max(size.x - x, 1e-3), size.y));
    };
    viewer.open([source(address(left, set, image)), source(address(right, set, image))]);
    viewer.addHandler("open", () => {
      const [below, above] = [viewer.world.getItemAt(0), viewer.world.getItemAt(1)];
      if (below && above) { above.setPosition(below.getBounds(true).getTopLeft(), true); above.setWidth(below.getBounds(true).width, true); }
      viewer.viewport.goHome(true);
      cut();
    });
    viewer.addHandler("viewport-change", cut);
    viewer.addHandler("resize", cut);
    range.addEventListener("input", cut);
    viewers.push(viewer);
    leader = viewer;
  };

  // All viewers to one square of the image, with some surroundings.
  const goTo = ([x, y, side], size) => {
    leader = null;
    const margin = side * 0.25;
    for (const viewer of viewers) {
      viewer.viewport.fitBounds(new OpenSeadragon.Rect((x - margin) / size[0], (y - margin) / size[0], (side + 2 * margin) / size[0], (side + 2 * margin) / size[0]), true);
    }
    byId("viewers").scrollIntoView({ block: "nearest" });
  };

  const crops = (sources, set, image) => {
    const of = data.pictures[Review.state.group]?.[set]?.[image];
    const holder = byId("crops");
    holder.replaceChildren();
    if (!of?.crops.length) {
      byId("crop-note").textContent = of?.compared > 1 ? "The runs made the same image." : "Fewer than two runs have this image.";
      return;
    }
    byId("crop-note").textContent = `Squares in which the images of ${of.compared} runs deviate most from their mean, by the levels named (of 255). Click one to see it above.`;
    const zoom = 132 / of.crops[0][2];
    for (const crop of of.crops) {
      const strip = el("div", { class: "strip" }, el("button", { type: "button", class: "crop", onclick: () => goTo(crop, of.size) }, `${crop[3].toFixed(1)} levels at ${crop[0]}, ${crop[1]}`));
      for (const one of sources) {
        const url = address(one, set, image);
        const piece = el("div", { class: "piece", role: "img", "aria-label": nameOf(one), title: nameOf(one) });
        piece.style.cssText = `background-image: url("${url}"); background-size: ${of.size[0] * zoom}px auto; background-position: ${-crop[0] * zoom}px ${-crop[1] * zoom}px;`;
        strip.append(el("div", {}, piece, el("small", {}, nameOf(one))));
      }
      holder.append(strip);
    }
  };

  const show = () => {
    close();
    const set = Review.state.set;
    const image = byId("image").value;
    const mode = byId("view").value;
    byId("gain-choice").hidden = mode !== "error";
    byId("image-note").textContent = "";
    const sources = chosen().filter((of) => address(of, set, image));
    if (mode === "slider" && sources.length < 2) byId("image-note").textContent = "Choose two images, A and B, for the slider.";
    else if (mode === "slider") slider(sources.slice(0, 2), set, image);
    else if (mode === "error") errorMaps(sources, set, image);
    else sideBySide(sources, set, image);
    if (!sources.length) byId("image-note").textContent = image ? "Choose at least one image." : "No run of this group has images of this set.";
    const lacking = Review.rowsOfGroup().flatMap((row) => row.runs).filter((run) => image && !address(run, set, image)).length;
    if (lacking) byId("image-note").textContent += ` ${lacking} run${lacking > 1 ? "s have" : " has"} no file of this image.`;
    crops(sources, set, image);
    Review.viewers = viewers;
  };

  Review.views.images = () => {
    const images = Object.keys(data.pictures[Review.state.group]?.[Review.state.set] ?? {});
    Review.fillMenu(byId("image"), images.map((name) => [name, name]));
    fillSlots(byId("image").value);
    show();
  };

  byId("image").addEventListener("change", () => Review.views.images());
  byId("view").addEventListener("change", show);
  byId("gain").addEventListener("input", () => { brighten(); byId("image-note").textContent = byId("image-note").textContent.replace(/\d+ times/, `${byId("gain").value} times`); });
  byId("whole").addEventListener("click", () => { leader = null; for (const viewer of viewers) viewer.viewport.goHome(true); });
})();
