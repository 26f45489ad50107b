// The room Label: what both ways of labelling share. Its other files follow in one scope: label-task (the task that is
// edited), label-plot (histograms, confusion), label-result (zero-shot), label-examples and label-learn (few-shot),
// label-room (what the address says).
const ss = window.sleepsearch, $ = (selector) => element.querySelector(selector);
const HUES = ["#009E73", "#CC79A7", "#7a3fa0", "#56B4E9", "#B87700", "#2e7d6b", "#a3324b", "#7c8793"];
const POLL_MS = 350, FIRST_MODE = "prompts";

/** An element: tag, properties (on… listens, data-… and aria-… are attributes), children. */
function h(tag, given = {}, ...children) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(given)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (key in made && !key.includes("-") && key !== "list" && key !== "form") made[key] = value;
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

/** A button that does something. */
function button(text, onclick, given = {}) {
  return h("button", { type: "button", onclick, ...given }, text);
}

/** A field with its label in front of it. */
function field(text, input, given = {}) {
  return h("label", { className: "lab-field", ...given }, h("span", {}, text), input);
}

/** The colour of a label: a stage has its own, others by their number; `absent` and `not …` are grey. */
function hue(label, number) {
  if (label === "absent" || label.startsWith("not ")) return ss.colour("--stage-unscored");
  return ss.colour(`--stage-${label}`) || HUES[number % HUES.length];
}

/** 12345 as 12,345. */
function many(count) {
  return Number(count).toLocaleString("en-US");
}

/** A figure, or a dash where there is none. */
function figure(value, digits = 2) {
  return value === null || value === undefined ? "–" : Number(value).toFixed(digits);
}

/** Seconds as h:mm:ss of the recording. */
function clockOf(seconds) {
  return ss.hms(seconds, 1);
}

/** What went wrong, in its place. */
function wrong(place, fault) {
  place.replaceChildren(h("p", { className: "lab-wrong", role: "alert" }, fault.message));
}

/** Follow a job until it ended: progress and Cancel in `place`; true where it has a result. */
async function follow(token, place, round) {
  const bar = h("progress", { "aria-label": "progress" }), said = h("span");
  const stop = button("Cancel", async () => {
    stop.disabled = true;
    said.textContent = "cancelling …";
    try { await ss.ask(server.label_cancel({ token })); } catch (fault) { wrong(place, fault); }
  });
  place.replaceChildren(h("div", { className: "lab-bar" }, bar, said, stop));
  const state = await ss.job(() => server.label_state({ token }), (now) => {
    if (!round()) return false;
    if (now.of) [bar.max, bar.value] = [now.of, now.done];
    const share = now.of ? ` · ${many(now.done)} of ${many(now.of)} epochs` : "";
    said.textContent = `${now.cancelling ? "cancelling" : now.said || "reading the cohort"} …${share} · ${now.seconds.toFixed(0)} s`;
    return true;
  }, POLL_MS);
  if (!round()) return false;
  if (state.state === "done") {
    place.replaceChildren(h("p", { className: "lab-dim" }, `done in ${state.seconds.toFixed(1)} s`));
    return true;
  }
  const why = {
    cancelled: "Cancelled; nothing was kept.", failed: state.why,
    unknown: "The result of this link is no longer kept (an hour, and the last few). Run it again.",
  }[state.state];
  place.replaceChildren(h("p", { className: state.state === "failed" ? "lab-wrong" : "lab-dim" }, why));
  return false;
}

const asked = new WeakMap(), drawn = new Map();
const seen = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) if (isIntersecting) paint(target);
}, { rootMargin: "200px" });

/** A canvas that draws the signals of an epoch once it is in sight. */
function stripOf(epoch) {
  const canvas = h("canvas", { className: "lab-strip", role: "img", "aria-label": "signals, being read" });
  asked.set(canvas, epoch);
  seen.observe(canvas);
  return canvas;
}

/** Read the signals behind a canvas where they aren't there yet, and draw them. */
async function paint(canvas) {
  const { recording, start_s, stop_s } = asked.get(canvas), key = `${recording}@${start_s}-${stop_s}`;
  try {
    if (!drawn.has(key)) drawn.set(key, await ss.ask(server.label_strip({ rec: recording, start_s, stop_s })));
    if (drawn.size > 200) drawn.delete(drawn.keys().next().value);
    drawStrip(canvas, drawn.get(key));
    canvas.setAttribute("aria-label", `${recording} at ${clockOf(start_s)}: ${stripWords(drawn.get(key))}`);
  } catch (fault) {
    canvas.replaceWith(h("p", { className: "lab-dim" }, `no signals: ${fault.message}`));
  }
}

/** Draw again what hangs on the width of the window or on the theme. */
function redraw() {
  for (const canvas of element.querySelectorAll("canvas.lab-strip")) if (canvas.clientWidth) paint(canvas);
  if (result) drawResult();
  if (learned) drawLearned();
}

/** A link to a moment of a night. */
function moment(epoch, text = null) {
  const address = `?room=night&rec=${encodeURIComponent(epoch.recording)}&t=${epoch.start_s}`;
  return h("a", { href: address, className: "lab-moment", onclick: (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    ss.go({ room: "night", rec: epoch.recording, t: epoch.start_s });
  } }, text || `${epoch.recording} · ${clockOf(epoch.start_s)}`);
}

/** The epochs behind a figure, with their signals, below everything else. */
async function showMoments(title, fetching, about) {
  const place = $(".lab-moments");
  place.replaceChildren(h("p", { className: "lab-dim" }, "reading …"));
  try {
    const epochs = await ss.ask(fetching);
    const head = h("h4", { tabIndex: -1 }, title, " ", button("close", () => place.replaceChildren()));
    const cards = epochs.map((epoch) => h("article", { className: "lab-card" },
      h("p", {}, moment(epoch), h("span", { className: "lab-dim" }, about(epoch)), button("label this epoch", () => ss.labelling(epoch))), stripOf(epoch)));
    place.replaceChildren(head, h("div", { className: "lab-strips" }, cards.length ? cards : h("p", {}, "no such epoch")));
    head.focus({ preventScroll: true });
    head.scrollIntoView({ block: "nearest", behavior: "smooth" });
  } catch (fault) {
    wrong(place, fault);
  }
}
