// The room of one night: which recording, its numbers, the course, the viewer, and the keys that move through it.
const WINDOWS = [[5, "5 s"], [10, "10 s"], [30, "30 s"], [60, "60 s"], [120, "2 min"], [300, "5 min"], [600, "10 min"], ["night", "whole night"]];
const KEYS = [
  ["← →", "one epoch back, on"], ["Shift ← →", "one window back, on"], ["Home End", "start, end of the night"], ["↑ ↓", "shorter, longer window"],
  ["e E", "next, previous event"], ["n N", "next, previous moment nearest to the sentence"], ["+ −", "gain of the channel in focus, else of all"],
  ["f", "filtered or as recorded"], ["m", "measure: two clicks give seconds, 1/s and amplitude"], ["l", "label what is shown"], ["?", "these keys"],
];
let night = null, channels = null, peaks = [], view = null, wanted = {}, asking = 0;

const course = makeCourse($(".n-course"), (seconds, dragging) => goTo(seconds, { replace: dragging }), (seconds) => wave.point(seconds));
const wave = makeWave($(".n-viewer"), {
  ask: (start, stop, columns) => asked("window", { ...lookOf(), start, stop, columns }, stop - start > (channels?.long_s ?? 1e9)),
  moved: (t) => stepTo(t),
  sized: (by, around) => resize(by, around),
  reading: (on) => {
    if (on) $(".n-reading").textContent ||= "reading …";
    else { $(".n-reading").textContent = ""; spectrum(); } // the traces first: it would keep them waiting
  },
  gained: gain,
  pointed: (seconds) => course.point(seconds),
  told: (words) => { $(".n-status").textContent = words; },
  hidden: (name, off) => SS.go({ night_hide: [...hiddenNow().filter((n) => n !== name), ...(off ? [name] : [])].join("|") }, { replace: true }),
});

// ---- asking

/** What the server answers to one function of the room; what went wrong stands in the room. Long work tells how far it is. */
async function asked(name, what, long = false) {
  const told = long && setInterval(async () => {
    const { done } = await server.made(what);
    if (done < 1) $(".n-reading").textContent = `preparing the whole night: ${Math.round(100 * done)} %`;
  }, 500);
  try {
    const found = await SS.ask(server[name](what));
    problem("");
    return found;
  } catch (fault) {
    problem(fault.message);
    throw fault;
  } finally {
    if (told) clearInterval(told);
  }
}

function problem(words) {
  $(".n-problem").textContent = words;
  $(".n-problem").hidden = !words;
}

const lookOf = () => ({ rec: view.rec, raw: view.night_raw === "1", notch: view.night_notch ?? "" });
const hiddenNow = () => (SS.view().night_hide ?? "").split("|").filter(Boolean);
const gainNow = () => Object.fromEntries((SS.view().night_gain ?? "").split("|").filter(Boolean).map((pair) => [pair.slice(0, pair.lastIndexOf(":")), Number(pair.slice(pair.lastIndexOf(":") + 1))]));

// ---- the view, from the address

/** Seconds that the viewer shows: [from, length]. */
function windowOf() {
  const long = night.duration_s;
  if (view.w === "night" || Number(view.w) >= long) return [0, long];
  const w = Number(view.w) > 0 ? Number(view.w) : 30, t = Number(view.t) || 0;
  return [Math.min(Math.max(t, 0), Math.max(long - w, 0)), w];
}

SS.watch(async (now) => {
  if ((now.room ?? "search") !== "night") return;
  const before = view;
  view = now;
  if (!now.rec) return first();
  if (!night || night.recording !== now.rec) return open(now.rec);
  if (!before || before.night_raw !== now.night_raw || before.night_notch !== now.night_notch) readChannels();
  shown();
});

async function first() {
  const { rows } = await asked("nights", {});
  if (rows.length && !SS.view().rec) SS.go({ rec: rows[0].recording }, { replace: true });
  else if (!rows.length) problem("this cohort has no nights yet");
}

async function open(rec) {
  const mine = ++asking;
  night = channels = null;
  peaks = [];
  wave.night(null);
  $(".n-find").value = rec;
  $(".n-reading").textContent = "reading …";
  let found;
  try {
    found = await asked("night", { rec });
  } catch { $(".n-shown").hidden = true; wanted = {}; return; }
  if (mine !== asking) return;
  night = found;
  wanted = {};
  $(".n-shown").hidden = false;
  course.night(night);
  wave.night(night);
  who();
  facts();
  shown();
  readChannels();
}

async function readChannels() {
  const rec = view.rec, look = JSON.stringify(lookOf());
  wanted.look = look;
  const found = await asked("channels", lookOf()).catch(() => null);
  if (rec !== view.rec || wanted.look !== look) return;
  $(".n-viewer").hidden = !found;
  if (!found) { $(".n-reading").textContent = "no waveforms"; course.spectrum(null); return; }
  channels = found;
  course.segments(found.segments);
  const eeg = found.channels.filter((c) => c.kind === "eeg");
  $(".n-spectrum").innerHTML = eeg.map((c) => `<option value="${SS.esc(c.name)}">${SS.esc(c.name)} · ${SS.esc(c.label)}</option>`).join("") + `<option value="none">none</option>`;
  wave.channels(found);
  choose();
}

/** Draw what the address says. */
function shown() {
  if (!night) return;
  const [t, w] = windowOf();
  course.band(t, t + w);
  const kept = (wanted.hide ?? "") === (view.night_hide ?? "") && wanted.hideSet ? wanted.hideSet : new Set(hiddenNow());
  [wanted.hide, wanted.hideSet] = [view.night_hide ?? "", kept];
  wave.look({ t, w, gain: gainNow(), hide: kept, look: `${view.night_raw ?? ""}/${view.night_notch ?? ""}` });
  $(".n-window").value = w >= night.duration_s ? "night" : String(w);
  $(".n-filtered").checked = view.night_raw !== "1";
  $(".n-notch").value = view.night_notch ?? "";
  $(".n-status").textContent = `${wave.said()} · ${hms(t)} from the start`;
  if (document.activeElement !== $(".n-say")) $(".n-say").value = view.say ?? "";
  along();
  spectrum();
  for (const box of element.querySelectorAll(".n-choose input")) box.checked = !kept.has(box.value);
}

async function along() {
  const words = view.say ?? "";
  if (wanted.say === words) return;
  wanted.say = words;
  peaks = [];
  peakButtons(null);
  course.along(words ? undefined : null);
  if (!words) { $(".n-along-said").textContent = ""; return; }
  $(".n-along-said").textContent = "comparing the sentence with each epoch …";
  const rec = view.rec;
  let found;
  try {
    found = await SS.ask(server.along({ rec, words }));
  } catch (fault) {
    if (rec === view.rec && wanted.say === words) { course.along(null); $(".n-along-said").textContent = fault.message; }
    return;
  }
  if (rec !== view.rec || wanted.say !== words) return;
  peaks = found.peaks;
  course.along(found);
  peakButtons(found);
  const not = Object.entries(found.not_assessable).filter(([, n]) => n).map(([why, n]) => `${n} for ${why}`).join(", ");
  $(".n-along-said").textContent = [not && `not assessable: ${not}`, ...found.notes].filter(Boolean).join(" · ");
}

function peakButtons(found) {
  $(".n-unsay").hidden = $(".n-legend").hidden = !found;
  if (!found) { $(".n-peaks").innerHTML = ""; return; }
  const ramp = [0, 64, 128, 192, 255].map((i) => `rgb(${props.colours[i].join(",")})`).join(",");
  $(".n-legend").innerHTML = `−1 <i style="background:linear-gradient(90deg,${ramp})"></i> +3 SD from this night's mean: a similarity, not a probability`;
  $(".n-peaks").innerHTML = found.peaks.map(([start, z]) => `<button type="button" data-at="${start}">${clockOf(night, start)} <small>${z > 0 ? "+" : ""}${z.toFixed(1)}</small></button>`).join("");
}

async function spectrum() {
  if (!channels) return;
  const eeg = channels.channels.filter((c) => c.kind === "eeg").map((c) => c.name), asks = view.night_spec ?? (eeg.includes("EEG_C4") ? "EEG_C4" : eeg[0]);
  const channel = eeg.includes(asks) ? asks : "none";
  $(".n-spectrum").value = channel;
  if (wanted.spec === channel) return;
  wanted.spec = channel;
  if (channel === "none") return course.spectrum(null);
  const found = await asked("spectrum", { rec: view.rec, channel }).catch(() => null);
  if (night && wanted.spec === channel) course.spectrum(found);
}

// ---- moving

/** Show the moment: a short window begins with the epoch that holds it, a longer one has it in its middle. */
function goTo(seconds, { replace = false } = {}) {
  const [, w] = windowOf(), at = epochAt(night, seconds), start = at < 0 ? seconds : night.epochs.start_s[at];
  const t = w < 30 ? seconds : w < 60 ? start : seconds - w / 2;
  SS.go({ t: tidy(t, w >= night.duration_s ? 30 : w), ...(w >= night.duration_s ? { w: null, t: tidy(start, 30) } : {}) }, { replace });
}

const tidy = (t, w) => Number(Math.min(Math.max(t, 0), Math.max(night.duration_s - w, 0)).toFixed(2));

function stepTo(t) {
  const [, w] = windowOf();
  if (w < night.duration_s) SS.go({ t: tidy(t, w) }, { replace: true });
}

/** A window that is longer (1) or shorter (-1), around a moment, else around the middle. */
function resize(by, around = null) {
  const [t, w] = windowOf(), sizes = WINDOWS.map(([s]) => (s === "night" ? night.duration_s : s)).filter((s) => s <= night.duration_s);
  const now = sizes.findIndex((s) => s >= w - 1e-6), next = sizes[Math.min(Math.max((now < 0 ? sizes.length - 1 : now) + by, 0), sizes.length - 1)];
  take(next, around ?? (w >= night.duration_s ? (Number(view.t) || 0) + 15 : t + w / 2), around === null ? 0.5 : (around - t) / w);
}

function take(w, around, share = 0.5) {
  if (w >= night.duration_s) return SS.go({ w: "night", t: tidy(around - 15, 30) }, { replace: true });
  const at = epochAt(night, around), t = w === 30 && at >= 0 ? night.epochs.start_s[at] : around - share * w;
  SS.go({ w: w === 30 ? null : w, t: tidy(t, w) }, { replace: true });
}

/** The next (1) or previous (-1) start in a list, from what is shown; starts of one window are passed over together. */
function jump(starts, by) {
  const [t, w] = windowOf(), [now] = w >= night.duration_s ? [Number(view.t) || 0] : [t], reach = Math.min(w, 30);
  const found = by > 0 ? starts.find((s) => s >= now + reach - 1e-3) : starts.findLast((s) => s < now - 1e-3);
  if (found !== undefined) goTo(found + 1e-3);
  else $(".n-status").textContent = starts.length ? `none ${by > 0 ? "after" : "before"} this` : "there is none";
}

const events = () => night.events.map((e) => e[2]);
const peakStarts = () => peaks.map(([start]) => start);
const windowNow = () => windowOf()[1];

function gain(names, by) {
  const gains = gainNow();
  for (const name of names) gains[name] = Math.min(Math.max((gains[name] ?? 0) + by, -12), 16);
  SS.go({ night_gain: Object.entries(gains).filter(([, n]) => n).map(([name, n]) => `${name}:${n}`).join("|") }, { replace: true });
}

const DO = {
  start: () => stepTo(0), end: () => stepTo(night.duration_s), back: () => stepTo(windowOf()[0] - 30), on: () => stepTo(windowOf()[0] + 30),
  "back-window": () => stepTo(windowOf()[0] - windowNow()), "on-window": () => stepTo(windowOf()[0] + windowNow()),
  "event-back": () => jump(events(), -1), "event-on": () => jump(events(), 1), "peak-back": () => jump(peakStarts(), -1), "peak-on": () => jump(peakStarts(), 1),
  shorter: () => resize(-1), longer: () => resize(1),
  "gain-up": () => gain(wave.focused() ? [wave.focused()] : wave.names(), 1), "gain-down": () => gain(wave.focused() ? [wave.focused()] : wave.names(), -1),
  filter: () => SS.go({ night_raw: view.night_raw === "1" ? null : 1 }, { replace: true }),
  measure: () => { const on = $("[data-do=measure]").getAttribute("aria-pressed") !== "true"; $("[data-do=measure]").setAttribute("aria-pressed", on); wave.measure(on); },
  label: () => {
    const [t, w] = windowOf(), whole = w >= night.duration_s, start_s = whole ? Number(view.t) || 0 : t;
    SS.labelling({ recording: night.recording, start_s, stop_s: Math.min(start_s + (whole ? 30 : w), night.duration_s) });
  },
  keys: () => { const box = $(".n-keys"); if (box.open) box.close(); else box.showModal(); },
};
const BY_KEY = { ArrowLeft: "back", ArrowRight: "on", Home: "start", End: "end", ArrowUp: "shorter", ArrowDown: "longer", e: "event-on", E: "event-back",
  n: "peak-on", N: "peak-back", "+": "gain-up", "=": "gain-up", "-": "gain-down", f: "filter", m: "measure", l: "label", "?": "keys" };

document.addEventListener("keydown", (event) => {
  if (!night || !element.offsetParent || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest?.("input:not([type=checkbox]), textarea, select, [role=tab], [role=listbox], dialog, [contenteditable=true]")) return;
  const what = event.shiftKey && event.key.startsWith("Arrow") ? { ArrowLeft: "back-window", ArrowRight: "on-window" }[event.key] : BY_KEY[event.key];
  if (!what) return;
  event.preventDefault();
  DO[what]();
});

$(".n-tools").addEventListener("click", (event) => { const what = event.target.closest("[data-do]")?.dataset.do; if (what && night) DO[what](); });
$(".n-window").innerHTML = WINDOWS.map(([value, words]) => `<option value="${value}">${words}</option>`).join("");
$(".n-window").addEventListener("change", (event) => {
  const [t, w] = windowOf();
  take(event.target.value === "night" ? night.duration_s : Number(event.target.value), w >= night.duration_s ? (Number(view.t) || 0) + 15 : t + w / 2);
});
$(".n-filtered").addEventListener("change", () => DO.filter());
$(".n-notch").addEventListener("change", (event) => SS.go({ night_notch: event.target.value }, { replace: true }));
$(".n-spectrum").addEventListener("change", (event) => SS.go({ night_spec: event.target.value }, { replace: true }));
$(".n-along").addEventListener("submit", (event) => { event.preventDefault(); SS.go({ say: $(".n-say").value.trim() }); });
$(".n-unsay").addEventListener("click", () => { $(".n-say").value = ""; SS.go({ say: null }); });
$(".n-peaks").addEventListener("click", (event) => { const at = event.target.closest("[data-at]")?.dataset.at; if (at) goTo(Number(at) + 1e-3); });
$(".n-before").addEventListener("click", () => pick(night?.before));
$(".n-after").addEventListener("click", () => pick(night?.after));
$(".n-to-words").addEventListener("click", () => SS.go({ room: "words", rec: view.rec, t: windowOf()[0] }));
$(".n-to-similar").addEventListener("click", () => SS.go({ room: "words", rec: view.rec, t: null }));
$(".n-keys").innerHTML = `<h3>Keys</h3><dl>${KEYS.map(([key, words]) => `<dt>${key}</dt><dd>${words}</dd>`).join("")}</dl><p>The wheel makes the window longer or shorter, dragging moves it.</p><button type="button">close</button>`;
$(".n-keys").addEventListener("click", (event) => { if (event.target.closest("button")) $(".n-keys").close(); });
addEventListener("sleepsearch:theme", () => { course.draw(); wave.draw(); });
