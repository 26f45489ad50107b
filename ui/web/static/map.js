const ss = window.sleepsearch, Plotly = window.Plotly;
const $ = (name) => element.querySelector(`.map-${name}`);
const plot = $("plot"), bar = $("said");
let map = null, wanted = null, painted = null, groups = [], values = [], hidden = new Set(), chosen = null;
let lastWhere = null, mode = "select", round = 0, watching = false;

/** One line beside the tools; `wrong` colours it as a failure. */
function say(text, wrong = false) {
  bar.textContent = text;
  bar.classList.toggle("wrong", wrong);
}

/** Do some work of the room and say in place what went wrong. */
async function attempt(work) {
  try {
    return await work();
  } catch (fault) {
    say(fault.message, true);
    return null;
  }
}

ss.watch((view) => { if ((view.room || "") === "map") attempt(() => follow(view)); });

/** Bring the room to what the address says. */
async function follow(view) {
  const level = view.map_level === "night" ? "night" : "epoch", space = view.map_space || "";
  $("level").value = level;
  $("say").value = view.map_say || "";
  const asked = `${level} ${space}`;
  if (asked !== wanted) {
    [wanted, painted, lastWhere, chosen] = [asked, null, null, null];
    if (!await load(level, space)) return;
    view = ss.view();
  }
  if (!map) return;
  const colour = view.map_say ? `~${view.map_say}` : view.map_colour || first();
  if (colour !== painted) await paint(colour, view);
  await highlight(view.map_where || "");
}

/** Fetch the map, or a rough one while the job that makes it is followed; false where another was asked since. */
async function load(level, space) {
  const mine = ++round;
  say("looking for the map …");
  plot.classList.add("waiting");
  let found;
  try {
    found = await ss.ask(server.map_of({ level, collection: space }));
  } catch (fault) {
    if (mine === round) wanted = null; // the next look tries again
    throw fault;
  } finally {
    if (mine === round) plot.classList.remove("waiting");
  }
  if (mine !== round) return false;
  [map, hidden] = [found.map, new Set()];
  $("space").value = map.collection;
  $("space").querySelector("[value=signal]").disabled = !map.signals;
  $("colour").innerHTML = options();
  const shown = map.x.length.toLocaleString("en"), all = map.of.toLocaleString("en"), what = `${map.level}s`;
  const drawn = map.sampled < map.of ? `a sample of ${shown} of ${all} ${what}, each night by its share` :
    `${shown} of ${all} ${what}`;
  const left = map.left_out ? ` ${map.left_out.toLocaleString("en")} left out: nothing is known of them.` : "";
  $("note").textContent = `${drawn}, by ${map.method} of the ${map.collection}s' vectors (${map.encoder}).${left} ` +
    "Near is alike; how far two islands lie apart means nothing.";
  plot.setAttribute("aria-label", `map of ${shown} ${what} by ${map.method}; neighbours are alike`);
  plot.dataset.method = map.method;
  waited("");
  say("");
  if (found.token) attempt(() => wait(found, mine, level, space));
  return true;
}

/** What is said of the work on the map, and which button stands beside it: `cancel` or `again`. */
function waited(text, button = "") {
  $("job").querySelector("span").textContent = text;
  for (const name of ["cancel", "again"]) $(name).hidden = name !== button;
}

/** Follow a job until it ends, then draw what it made, with the colour and the choice that the address names. A job that
 *  no page follows ends soon, so leaving the room or closing the page ends it too. */
async function wait({ token, key }, mine, level, space) {
  $("cancel").disabled = false;
  $("cancel").onclick = () => { $("cancel").disabled = true; attempt(() => ss.ask(server.map_cancel({ token }))); };
  $("again").onclick = () => attempt(() => load(level, space).then((there) => there && repaint()));
  const job = await ss.job(() => server.map_job({ token, key }), (now) => {
    if (mine !== round || ss.view().room !== "map") return false;
    waited(`A first look by PCA; ${now.cancelling ? "cancelling" : now.said || "starting"} … ${Math.round(now.seconds)} s, once, then kept.`, "cancel");
    return true;
  }, 700);
  if (mine !== round) return;
  waited("");
  if (job.state === "running") { wanted = null; return; } // the room was left: the next look begins anew
  if (job.state === "cancelled") { waited("This is a first look by PCA; laying it out by t-SNE was cancelled.", "again"); return; }
  if (job.state !== "done") throw new Error(job.why || `the work ended: ${job.state}`);
  if (await load(level, space)) await repaint();
}

/** Colour and choose again what the address names, on a map that was drawn anew. */
async function repaint() {
  [painted, lastWhere] = [null, null];
  if (ss.view().room === "map") await follow(ss.view());
}

/** The colour that is shown where the address names none. */
function first() {
  const there = map.colours.map((c) => c.column);
  return ["stage", "site", "cohort", "recording"].find((c) => there.includes(c)) || there[0];
}

function options() {
  const sorted = ["who and where", "measured in the epoch", "scored in the epoch", "of the night", "further"];
  return sorted.map((name) => {
    const rows = map.colours.filter((c) => c.group === name).map((c) => `<option value="${ss.esc(c.column)}" ` +
      `title="${ss.esc(c.definition)}">${ss.esc(c.column)}${c.unit ? ` (${ss.esc(c.unit)})` : ""}</option>`);
    return rows.length ? `<optgroup label="${name}">${rows.join("")}</optgroup>` : "";
  }).join("") + "<option value=\"\" hidden>likeness</option>";
}

/** Colour the points by a column, or by `~sentence`. */
async function paint(colour, view) {
  const asked = colour[0] === "~" ? { words: colour.slice(1) } : { column: colour };
  $("colour").value = asked.column || "";
  if (map.level === "night" && asked.words) throw new Error("likeness to a sentence is of epochs; show epochs");
  say("colouring …");
  const found = await ss.ask(server.map_colour({ key: map.key, ...asked }));
  const facts = map.colours.find((c) => c.column === asked.column);
  [painted, values, hidden] = [colour, found.values, new Set()];
  groups = found.kind === "number" ? mapPlot.ramp(values) : mapPlot.groups(values, asked.column);
  const unit = found.unit || (facts && facts.unit);
  groups.says = (asked.words ? `likeness to “${asked.words}”` : asked.column) + (unit ? `, ${unit}` : "");
  say("");
  await draw();
}

/** Points, legend and the dimming of what is not chosen. */
async function draw() {
  const set = chosen && new Set(chosen);
  await mapPlot.draw(plot, map, groups, { hidden, chosen: set, texts: hover, mode });
  $("legend").innerHTML = mapPlot.legend(groups, hidden, groups.says, set);
  if (watching) return;
  watching = true;
  plot.on("plotly_selected", (event) => {
    if (event && event.points.length) attempt(() => choose(event.points.map((p) => p.customdata)));
  });
  plot.on("plotly_deselect", () => ss.go({ map_where: null }));
  plot.on("plotly_click", (event) => { if (event.points.length) attempt(() => mapCard.show(event.points[0].customdata)); });
}

function hover(place) {
  const value = values[place], said = value === null ? "not known" : value;
  const lines = [`<b>${ss.esc(map.names[map.recording[place]])}</b>`];
  if (map.level === "epoch") {
    lines.push(`${ss.esc(mapCard.when(place))} · ${ss.esc(map.stage[place] || "no stage")}`);
    const words = ss.esc(map.captions[map.caption[place]]);
    if (words) lines.push(`${words} …`);
  }
  if (painted !== "stage") lines.push(`${ss.esc(groups.says)}: ${ss.esc(said)}`);
  return lines.join("<br>");
}

/** Show what a filter of the address matches. */
async function highlight(where) {
  const own = where.length > 80 && where.startsWith("epoch_id"); // written by the lasso, not to be read
  $("where").value = own ? "" : where;
  $("where").placeholder = own ? "what was chosen on the map" : "stage = 'REM' AND age > 60";
  if (where === lastWhere) return;
  lastWhere = where;
  if (!where) {
    chosen = null;
    mapCard.clear();
    await draw();
    return;
  }
  say("looking …");
  const found = await ss.ask(server.map_match({ key: map.key, where }));
  await choose(found.chosen, where);
}

/** Take these points as chosen, say what they are, and write them into the address. */
async function choose(places, where = null) {
  chosen = places;
  await draw();
  if (!places.length) {
    mapCard.clear();
    say("the filter matches no point of the map");
    return;
  }
  say("comparing with the rest …");
  const found = await ss.ask(server.map_choose({ key: map.key, chosen: places }));
  say("");
  lastWhere = where || found.where;
  mapCard.tell(found, lastWhere);
  if (!where) ss.go({ map_where: found.where });
}

$("level").addEventListener("change", (event) => ss.go({ map_level: event.target.value === "night" ? "night" : null,
  map_colour: null, map_say: null, map_where: null }));
$("space").addEventListener("change", (event) => ss.go({ map_space: event.target.value }));
$("colour").addEventListener("change", (event) => ss.go({ map_colour: event.target.value, map_say: null }));
$("saying").addEventListener("submit", (event) => {
  event.preventDefault();
  ss.go({ map_say: $("say").value.trim(), map_colour: null });
});
$("filtering").addEventListener("submit", (event) => {
  event.preventDefault();
  ss.go({ map_where: $("where").value.trim() });
});
$("legend").addEventListener("click", (event) => {
  const button = event.target.closest("[data-group]");
  if (!button) return;
  const name = button.dataset.group;
  if (!hidden.delete(name)) hidden.add(name);
  draw().then(() => $("legend").querySelector(`[data-group="${CSS.escape(name)}"]`).focus());
});
$("tools").addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button || !map) return;
  if (button.dataset.mode) {
    mode = button.dataset.mode;
    for (const other of $("tools").querySelectorAll("[data-mode]")) other.setAttribute("aria-pressed", other === button);
    Plotly.relayout(plot, { dragmode: mode });
  } else if (button.classList.contains("map-whole")) {
    Plotly.relayout(plot, { "xaxis.autorange": true, "yaxis.autorange": true });
  } else {
    zoom(button.classList.contains("map-in") ? 0.7 : 1 / 0.7);
  }
});

function zoom(by) {
  const ranges = {};
  for (const axis of ["xaxis", "yaxis"]) {
    const [a, b] = plot._fullLayout[axis].range, middle = (a + b) / 2, half = ((b - a) / 2) * by;
    ranges[`${axis}.range`] = [middle - half, middle + half];
  }
  Plotly.relayout(plot, ranges);
}

addEventListener("sleepsearch:theme", () => {
  if (!map || !painted) return;
  const column = painted[0] === "~" ? null : painted, says = groups.says;
  groups = groups[0].values ? mapPlot.ramp(values) : mapPlot.groups(values, column);
  groups.says = says;
  draw();
});
new ResizeObserver(() => { if (plot.clientWidth && plot.data) Plotly.Plots.resize(plot); }).observe(plot);
