const ss = window.sleepsearch, Plotly = window.Plotly;
const $ = (name) => element.querySelector(`.co-${name}`);
const EVERY_MS = 10_000;
const PLOTTED = ["age", "sex", "site", "ahi_scored_per_h", "ahi_3a_per_h", "tst_min"];
let snapshot = null, nights = null, where = null, sort = "recording", down = false, plotted = false, loading = false;

/** Do some work of the room and say in place what went wrong. */
async function attempt(work) {
  try {
    $("said").className = "co-said";
    return await work();
  } catch (fault) {
    $("said").textContent = fault.message;
    $("said").className = "co-said wrong";
    return null;
  }
}

/** Fetch all that is shown, where the cohort has grown since. */
async function load() {
  if (loading) return;
  loading = true;
  try {
    if (snapshot === null) $("said").textContent = "reading the cohort …";
    const found = await ss.ask(server.cohort_overview({}));
    $("tiles").innerHTML = coTables.tiles(found);
    $("spaces").innerHTML = coTables.spaces(found);
    coAdd.state(found);
    if (found.snapshot !== snapshot) {
      const open = new Set([...$("recordings").querySelectorAll("details[open]")].map((d) => d.dataset.recording));
      $("recordings").innerHTML = coTables.recordings(await ss.ask(server.cohort_recordings({})), open);
      await filter(where || "", true);
    }
    snapshot = found.snapshot;
    $("said").textContent = found.note || "";
  } finally {
    loading = false;
  }
}

/** Fetch the nights that a filter matches. */
async function filter(asked, again = false) {
  if (asked === where && !again) return;
  where = asked;
  $("where").value = asked;
  $("count").textContent = "…";
  nights = await ss.ask(server.cohort_nights({ where: asked }));
  table();
  plot();
}

/** Draw the table as it is sorted and searched now. */
function table() {
  if (!nights) return [];
  const { html, shown } = coTables.nights(nights, { all: $("all").checked, sort, down, find: $("find").value.trim() });
  $("nights").innerHTML = html;
  const all = nights.of > nights.rows.length ? `the first ${nights.rows.length.toLocaleString("en")} of ${nights.of.toLocaleString("en")}` :
    nights.of.toLocaleString("en");
  $("count").textContent = `${shown.length.toLocaleString("en")} shown of ${all} nights`;
  return shown;
}

/** Small histograms of what is known of the nights in the table. */
function plot() {
  if (!nights || !$("plots").clientWidth) return;
  plotted = true;
  const columns = PLOTTED.map((name) => nights.columns.findIndex((c) => c.column === name)).filter((i) => i >= 0);
  $("plots").innerHTML = columns.map((i) => `<div class="co-plot" role="img" data-column="${i}"></div>`).join("") ||
    "<p class=\"dim\">neither age, sex, site, AHI nor sleep time is known</p>";
  for (const div of $("plots").querySelectorAll("[data-column]")) {
    const i = Number(div.dataset.column), { column, unit } = nights.columns[i];
    const known = nights.rows.map((row) => row[i]).filter((value) => value !== null);
    const without = nights.rows.length - known.length;
    const title = `${column.replace(/_(per_h|min)$/, "")}${unit && unit !== "text" ? `, ${unit}` : ""}`;
    div.setAttribute("aria-label", `histogram of ${title}: ${known.length} nights, ${without} not known`);
    const ink = ss.colour("--dim"), axis = { color: ink, gridcolor: ss.colour("--line"), zeroline: false, fixedrange: true };
    Plotly.newPlot(div, [{ type: "histogram", x: known, marker: { color: ss.colour("--accent") }, nbinsx: 12,
      hovertemplate: "%{x}: %{y} nights<extra></extra>" }], {
      title: { text: `${ss.esc(title)}${without ? ` · ${without} not known` : ""}`, font: { size: 12.5, color: ss.colour("--ink") }, x: 0.02 },
      margin: { l: 32, r: 8, t: 28, b: 34 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", bargap: 0.06,
      xaxis: { ...axis, tickfont: { size: 11 }, automargin: true, nticks: 5 },
      yaxis: { ...axis, tickfont: { size: 11 }, tickformat: ",d", nticks: 4, ...(known.length < 12 ? { dtick: 1 } : {}) },
    }, { displayModeBar: false, responsive: true });
  }
}

coAdd.start(() => attempt(load));
ss.watch((view) => {
  if (view.room !== "cohort") return;
  attempt(async () => {
    if (snapshot === null) {
      where = view.cohort_where || "";
      await load();
    } else await filter(view.cohort_where || "");
    if (!plotted) setTimeout(plot, 100);
  });
});

$("filter").addEventListener("submit", (event) => {
  event.preventDefault();
  ss.go({ cohort_where: $("where").value.trim() });
});
$("find").addEventListener("input", table);
$("all").addEventListener("change", table);
$("csv").addEventListener("click", () => {
  const shown = table();
  coTables.save("nights.csv", nights.columns.map((c) => c.column), shown);
});
element.addEventListener("click", (event) => {
  const by = event.target.closest("[data-sort]"), night = event.target.closest("[data-night]");
  if (night) ss.go({ room: "night", rec: night.dataset.night, t: null });
  if (!by) return;
  down = by.dataset.sort === sort ? !down : false;
  sort = by.dataset.sort;
  table();
  $("nights").querySelector(`[data-sort="${CSS.escape(sort)}"]`).focus();
});
addEventListener("sleepsearch:theme", plot);
setInterval(() => {
  if (ss.view().room !== "cohort" || snapshot === null || document.hidden) return;
  attempt(async () => {
    const now = await ss.ask(server.cohort_snapshot({}));
    if (now.snapshot !== snapshot || now.ingest) await load();
  });
}, EVERY_MS);
