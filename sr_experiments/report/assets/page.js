// The frame: tabs, the choice of group and set, and what is drawn when.
"use strict";

(() => {
  const { data, state, el, byId } = Review;
  const failed = data.runs.filter((run) => run.status !== "finished").length;
  const TABS = [["ranking", "Ranking"], ["tradeoff", "Trade-off"], ["sweep", "Sweep"], ["curves", "Curves"], ["images", "Images"], ["differences", "Differences"], ["configs", "Configs"], ["failures", `Unfinished (${failed})`]];

  state.group = 0;
  state.set = "";
  state.chosen = [];
  state.tab = TABS.some(([id]) => `#${id}` === location.hash) ? location.hash.slice(1) : "ranking";

  byId("title").textContent = data.title;
  const states = data.runs.map((run) => run.status);
  const counted = [...new Set(states)].map((name) => `${states.filter((other) => other === name).length} ${name}`);
  byId("summary").textContent = `${data.runs.length} runs in ${data.rows.length} rows: ${counted.join(", ")}.`;
  if (data.notes.length) {
    byId("notes").hidden = false;
    byId("notes").querySelector("summary").textContent = `${data.notes.length} note${data.notes.length > 1 ? "s" : ""}: ${data.notes[0].slice(0, 110)}${data.notes[0].length > 110 ? "…" : ""}`;
    byId("notes").querySelector("ul").append(...data.notes.map((note) => el("li", {}, note)));
  }

  const fillSets = () => {
    const sets = [...new Set(Review.rowsOfGroup().flatMap((row) => Object.keys(row.sets)))];
    Review.fillMenu(byId("set"), sets.length ? sets.map((name) => [name, name]) : [["", "none measured"]]);
    state.set = byId("set").value;
  };

  Review.showChosen = () => {
    byId("chosen").textContent = state.chosen.length ? `${state.chosen.length} row${state.chosen.length > 1 ? "s" : ""} ticked` : "";
  };

  const show = (tab) => {
    state.tab = tab;
    for (const [id] of TABS) {
      byId(id).hidden = id !== tab;
      byId(`tab-${id}`).setAttribute("aria-selected", id === tab);
    }
    byId(`tab-${tab}`).scrollIntoView({ block: "nearest", inline: "nearest" });
    Review.views[tab]();
  };

  byId("tabs").append(...TABS.map(([id, name]) => el("button", { id: `tab-${id}`, type: "button", role: "tab", "aria-controls": id, onclick: () => { history.replaceState(null, "", `#${id}`); show(id); } }, name)));
  byId("group-choice").hidden = data.groups.length < 2;
  Review.fillMenu(byId("group"), data.groups.map((label, index) => [index, label]));
  byId("group").addEventListener("change", () => { state.group = Number(byId("group").value); state.chosen = []; Review.showChosen(); fillSets(); show(state.tab); });
  byId("set").addEventListener("change", () => { state.set = byId("set").value; show(state.tab); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => show(state.tab));
  byId("detail").addEventListener("click", (event) => { if (event.target === byId("detail")) byId("detail").close(); });

  fillSets();
  show(state.tab);
})();
