// The room: which night, which epoch, and each part of the page filled as its answer comes.
const room = element.querySelector(".wd"), find = (name) => room.querySelector(name);
const recBox = find("#wd-rec"), whenBox = find("#wd-when"), slider = find(".wd-slider");
let night = null, alike = null, shown = {}, turn = 0, placed = "", fromBelow = false;
const asked = new Set(); // what a visitor of a large cohort has asked for

/** One line about what happens, or went wrong. */
function say(line, wrong = false) {
  const status = find(".wd-status");
  status.textContent = line;
  status.classList.toggle("wd-wrong", wrong);
}

/** Fill a part with what a server function answers; a late answer for a view that is gone is dropped. */
async function fill(part, answer, draw) {
  const target = find(part), mine = turn;
  target.setAttribute("aria-busy", "true");
  try {
    const found = await sleepsearch.ask(answer);
    if (mine === turn) target.innerHTML = draw(found);
    return mine === turn ? found : null;
  } catch (fault) {
    if (mine === turn) target.innerHTML = `<p class="wd-wrong">${esc(fault.message)}</p>`;
    return null;
  } finally {
    if (mine === turn) target.removeAttribute("aria-busy");
  }
}

/** Draw the strip of an epoch on a canvas. */
async function drawn(canvas, of, all) {
  try {
    const strip = await sleepsearch.ask(server.words_strip(of));
    canvas.strip = strip;
    canvas.all = all;
    drawStrip(canvas, strip, { all });
    canvas.setAttribute("aria-label", stripWords(strip));
    return strip;
  } catch (fault) {
    canvas.replaceWith(Object.assign(document.createElement("p"), { className: "wd-wrong", textContent: fault.message }));
    return null;
  }
}

/** Everything again that is drawn on a canvas: the theme or the width has changed. */
function redraw() {
  for (const canvas of room.querySelectorAll("canvas")) if (canvas.strip) drawStrip(canvas, canvas.strip, { all: canvas.all });
}

/** The night of the view; its first epoch where the view names none. */
async function openNight(view) {
  const of = view.file ? { file: view.file } : { rec: view.rec };
  find(".wd-body").hidden = true;
  foreign.hidden = true;
  alike = night = null;
  if (!view.file && !view.rec) return say("Pick a night, or drop a file.");
  say("reading the night …");
  try {
    night = Object.assign(await sleepsearch.ask(server.words_night(of)), { of });
  } catch (fault) {
    return say(fault.message, true);
  }
  say("");
  find(".wd-body").hidden = false;
  foreign.hidden = !night.file;
  if (night.file) foreign.innerHTML = foreignOf(night);
  find(".wd-course h2").innerHTML = `${esc(night.recording)} ${night.simulated ? `<span class="wd-mark">simulated</span>` : ""}`;
  find(".wd-hypnogram").innerHTML = courseOf(night);
  find(".wd-report").textContent = night.report;
  slider.max = night.start_s.length - 1;
  recBox.value = night.file ? "" : night.recording;
  find(".wd-show").hidden = Boolean(night.file);
}

/** The number of the epoch at a time, from 0. */
function numberAt(t) {
  const after = night.start_s.findIndex((start) => start > t + 1e-6);
  return Math.max(0, (after < 0 ? night.start_s.length : after) - 1);
}

/** Where in the night the page is. */
function place(number) {
  const start = night.start_s[number];
  slider.value = number;
  slider.setAttribute("aria-valuetext", `epoch ${number + 1}, ${clockOf(start, night.clock_s)}, ${night.stage[number] || "not staged"}`);
  find(".wd-here").style.left = `${((start + 15) / night.duration_s) * 100}%`;
  find(".wd-at").innerHTML = `epoch ${number + 1} of ${night.start_s.length} · ${clockOf(start, night.clock_s)}${night.clock_s === null ? " from the start" : ""} ${stageOf(night.stage[number])}`;
  whenBox.value = placed = clockOf(start, night.clock_s);
  find(".wd-previous").disabled = number === 0;
  find(".wd-next").disabled = number === night.start_s.length - 1;
}

/** The epoch of the view: facts first, then what takes longer. */
async function openEpoch(t) {
  const number = numberAt(Number(t) || 0), of = { ...night.of, t: night.start_s[number] }, mine = (turn += 1);
  place(number);
  if (fromBelow) { // a card was opened: what it shows now stands above
    fromBelow = false;
    find(".wd-course").scrollIntoView();
    slider.focus({ preventScroll: true });
  }
  drawn(find(".wd-strip"), of, true).then((strip) => {
    if (strip && mine === turn) find(".wd-missing").textContent = strip.missing && strip.missing.length ? `not in this recording or not usable here: ${strip.missing.join(", ")}` : "";
  });
  const epoch = await fill(".wd-facts", server.words_epoch(of), (found) => factsOf(found.facts));
  if (epoch) find(".wd-caption").innerHTML = captionOf(epoch.captions) + (epoch.substitutes ? `<p class="wd-none">substitutes: ${esc(epoch.substitutes)}</p>` : "");
  if (mine !== turn) return;
  find(".wd-generated").setAttribute("aria-busy", "true");
  const said = await fill(".wd-captions", server.words_said(of), captionsOf);
  if (mine !== turn) return;
  find(".wd-generated").removeAttribute("aria-busy");
  find(".wd-generated").innerHTML = said ? generatedOf(said) : "";
  await openNear(of);
}

/** Whether likeness may be looked for: in a large cohort it takes long, so a button stands there until it is pressed. */
function mayLook(part, what) {
  if (!night.large || asked.has(part)) return true;
  find(part).innerHTML = `<button type="button" data-ask="${part}">Look for ${what} among ${night.large.toLocaleString("en")} epochs: this takes a while</button>`;
  return false;
}

/** The nearest epochs, each with its strip. */
async function openNear(of) {
  const mine = turn, others = shown["words.others"] === "1";
  find(".wd-others").checked = others;
  if (!mayLook(".wd-near", "the nearest epochs")) return;
  if (!(await fill(".wd-near", server.words_near({ ...of, others }), nearOf)) || mine !== turn) return;
  for (const canvas of find(".wd-near").querySelectorAll("canvas")) {
    if (mine !== turn) return;
    await drawn(canvas, { rec: canvas.dataset.rec, t: Number(canvas.dataset.t) }, false);
  }
}

/** The nights like this one; asked for once a night. */
async function openAlike(unlike) {
  const key = `${JSON.stringify(night.of)} ${unlike}`, of = night;
  find(".wd-unlike").checked = unlike;
  const draw = () => {
    const chosen = document.activeElement.classList.contains("wd-other-night");
    find(".wd-nights").innerHTML = nightsOf(alike.found, of, shown["words.other"], unlike);
    if (chosen) find(".wd-other-night[aria-pressed=true]").focus();
  };
  if (alike && alike.key === key) return alike.found && draw();
  if (!mayLook(".wd-nights", "similar nights")) return null;
  alike = { key, found: null };
  const target = find(".wd-nights");
  target.innerHTML = `<p class="wd-none">laying nights over each other …</p>`;
  try {
    const found = await sleepsearch.ask(server.words_alike({ ...of.of, unlike }));
    if (!alike || alike.key !== key) return null;
    alike.found = found;
    return draw();
  } catch (fault) {
    if (!alike || alike.key !== key) return null;
    alike = null;
    target.innerHTML = `<p class="wd-wrong">${esc(fault.message)}</p>`;
    return null;
  }
}

/** Follow the address. */
async function follow(view) {
  if (view.room !== "words") return;
  const before = shown, same = before.rec === view.rec && before.file === view.file && night;
  shown = view;
  if (!same) await openNight(view);
  if (!night || shown !== view) return;
  if (!same || before.t !== view.t) openEpoch(view.t);
  else if (before["words.others"] !== view["words.others"]) openNear({ ...night.of, t: night.start_s[slider.value] });
  openAlike(view["words.unlike"] === "1");
}

/** Go to an epoch by its number from 0. */
function goTo(number, options) {
  const last = night.start_s.length - 1;
  sleepsearch.go({ t: night.start_s[Math.min(Math.max(number, 0), last)] }, options);
}

/** Names of nights that hold what was typed. */
async function list() {
  const found = await sleepsearch.ask(server.words_list({ find: recBox.value })).catch(() => ({ nights: [] }));
  find("#wd-list").innerHTML = found.nights.map((one) => `<option value="${esc(one.recording)}">${esc([one.site, `${one.hours.toFixed(1)} h`, one.simulated ? "simulated" : ""].filter(Boolean).join(", "))}</option>`).join("");
}

let typing = 0;
recBox.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(list, 200);
});
recBox.addEventListener("focus", () => {
  recBox.select();
  list();
}, { passive: true });
find(".wd-pick").addEventListener("submit", async (event) => {
  event.preventDefault();
  const rec = recBox.value.trim(), of = rec ? { rec } : night && night.file ? night.of : null;
  if (!of) return say("Pick a night, or drop a file.", true);
  const when = whenBox.value.trim(), other = !night || (rec && rec !== night.recording);
  try {
    const { start_s: t } = !when || (other && when === placed) ? { start_s: 0 } : await sleepsearch.ask(server.words_when({ ...of, when }));
    say("");
    sleepsearch.go({ room: "words", rec: of.rec || null, file: of.file || null, t, "words.other": null });
  } catch (fault) {
    say(fault.message, true);
  }
});
find(".wd-previous").addEventListener("click", () => goTo(numberAt(Number(shown.t) || 0) - 1));
find(".wd-next").addEventListener("click", () => goTo(numberAt(Number(shown.t) || 0) + 1));
find(".wd-show").addEventListener("click", () => sleepsearch.go({ room: "night", rec: night.recording, t: night.start_s[slider.value] }));
slider.addEventListener("input", () => place(Number(slider.value)));
slider.addEventListener("change", () => goTo(Number(slider.value)));
find(".wd-hypnogram").addEventListener("click", (event) => {
  const plot = event.target.closest(".wd-plot");
  if (!plot) return;
  const box = plot.getBoundingClientRect();
  goTo(numberAt(((event.clientX - box.left) / box.width) * night.duration_s));
});
find(".wd-definitions").addEventListener("change", (event) => find(".wd-facts").classList.toggle("wd-defined", event.target.checked));
find(".wd-others").addEventListener("change", (event) => sleepsearch.go({ "words.others": event.target.checked ? "1" : null }));
find(".wd-unlike").addEventListener("change", (event) => sleepsearch.go({ "words.unlike": event.target.checked ? "1" : null, "words.other": null }));
room.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  const { rec, t, other, night: whole, ask: part } = button.dataset;
  if (part) {
    asked.add(part);
    if (part === ".wd-near") openNear({ ...night.of, t: night.start_s[slider.value] });
    else openAlike(shown["words.unlike"] === "1");
  } else if (rec || whole) {
    fromBelow = true;
    sleepsearch.go({ room: "words", rec: rec || whole, t: t || null, file: null, "words.other": null });
  } else if (other) sleepsearch.go({ "words.other": other });
  else if (button.classList.contains("wd-forget")) {
    server.words_forget(night.of);
    sleepsearch.go({ file: null, t: null, "words.other": null });
    say("The file and all that was made of it are deleted.");
  }
});
addEventListener("sleepsearch:theme", redraw);
new ResizeObserver(() => redraw()).observe(room);
sleepsearch.watch(follow);
