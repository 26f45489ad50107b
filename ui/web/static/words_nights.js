// Two nights under each other: hypnograms, what was laid on what, and their numbers.
const ROWS = ["W", "REM", "N1", "N2", "NREM", "N3"], WIDE = 1000, TALL = 84, LINKS = 64;
const DEPTH = { W: 0, REM: 1, N1: 2, N2: 3, NREM: 3, N3: 4 };

/** A night's hypnogram as SVG parts, from `top` down; a gap where nobody staged. */
function hypnogramOf(night, top, longest) {
  const x = (s) => ((s / longest) * WIDE).toFixed(1), y = (stage) => top + 6 + DEPTH[stage] * ((TALL - 12) / 4), bars = [];
  let last = null;
  night.stage.forEach((stage, i) => {
    const from = night.start_s[i];
    if (last && last.stage === stage && Math.abs(last.stop - from) < 1) last.stop = from + 30;
    else bars.push((last = { stage, from, stop: from + 30 }));
  });
  return bars.map((bar, i) => {
    if (!bar.stage) return `<rect x="${x(bar.from)}" y="${top}" width="${x(bar.stop) - x(bar.from)}" height="${TALL}" class="wd-gap"/>`;
    const before = bars[i - 1];
    const step = before && before.stage && Math.abs(before.stop - bar.from) < 1
      ? `<path d="M${x(bar.from)} ${y(before.stage)}V${y(bar.stage)}" class="wd-step"/>` : "";
    return `${step}<path d="M${x(bar.from)} ${y(bar.stage)}H${x(bar.stop)}" style="stroke: var(--stage-${esc(bar.stage)})" class="wd-bar"/>`;
  }).join("");
}

/** The names of the stages beside a hypnogram. */
function axisOf() {
  return `<div class="wd-axis" aria-hidden="true">${["W", "REM", "N1", "N2", "N3"].map((name) => `<span>${name}</span>`).join("")}</div>`;
}

/** A night's hypnogram alone. */
function courseOf(night) {
  const long = night.duration_s, staged = night.stage.some(Boolean);
  const words = staged ? `hypnogram of ${night.recording}, staged by ${night.staged_by}` : `nobody staged ${night.recording}`;
  return `${axisOf()}<div class="wd-plot"><svg viewBox="0 0 ${WIDE} ${TALL}" preserveAspectRatio="none" role="img" aria-label="${esc(words)}">${hypnogramOf(night, 0, long)}</svg>
    <i class="wd-here"></i>${staged ? "" : `<em>nobody staged this night</em>`}</div>${hoursOf(night, long)}`;
}

/** Full hours below a hypnogram. */
function hoursOf(night, long) {
  const marks = [], origin = night.clock_s ?? 0;
  for (let s = (3600 - (origin % 3600)) % 3600; s <= long; s += 3600)
    marks.push(`<span style="left: ${((s / long) * 100).toFixed(2)}%">${clockOf(s, night.clock_s).slice(0, 5)}</span>`);
  return `<div class="wd-hours" aria-hidden="true">${marks.join("")}</div>`;
}

/** Lines from each block of the one night to its counterpart in the other, the better the stronger. */
function linksOf(found, longest) {
  const x = (s) => (((s + 60) / longest) * WIDE).toFixed(1), sorted = [...found.cosine].sort((a, b) => a - b);
  const rank = (c) => sorted.indexOf(c) / Math.max(sorted.length - 1, 1);
  const lines = found.start_s.map((s, i) => `<path d="M${x(s)} ${TALL}C${x(s)} ${TALL + LINKS / 2} ${x(found.other_start_s[i])} ${TALL + LINKS / 2} ${x(found.other_start_s[i])} ${TALL + LINKS}"
    style="opacity: ${(0.08 + 0.5 * rank(found.cosine[i]) ** 2).toFixed(2)}"/>`);
  const spans = [["most", found.most], ["least", found.least]].filter(([, s]) => s).map(([word, s]) => {
    const part = (from, to, top) => `<rect x="${((from / longest) * WIDE).toFixed(1)}" y="${top}" width="${(((to - from) / longest) * WIDE).toFixed(1)}" height="${TALL}"/>`;
    return `<g class="wd-${word}">${part(s.start_s, s.stop_s, 0)}${part(s.other_start_s, s.other_stop_s, TALL + LINKS)}</g>`;
  });
  return `${spans.join("")}<g class="wd-links">${lines.join("")}</g>`;
}

/** The list of alike nights, with the chosen one laid over this one. */
function nightsOf(found, own, chosen, unlike) {
  if (!found.nights.length) return `<p class="wd-none">No other night to compare in this cohort.</p>`;
  const other = found.nights.find((night) => night.recording === chosen) || found.nights[0];
  const courses = found.nights.map((night) => night.course).sort((a, b) => (unlike ? a - b : b - a));
  const list = found.nights.map((night, i) => `<li><button type="button" class="wd-other-night" data-other="${esc(night.recording)}" aria-pressed="${night === other}">
    <b>${i + 1}. ${esc(night.recording)}</b><span>likeness ${night.alignment.likeness.toFixed(2)} · by the course alone number ${courses.indexOf(night.course) + 1}</span></button></li>`);
  const longest = Math.max(own.duration_s, other.duration_s), a = other.alignment;
  const words = `${own.recording} above, ${other.recording} below, lines join the parts that are most alike; likeness ${a.likeness.toFixed(2)}`;
  const drawn = `<div class="wd-two">${axisOf()}<div class="wd-plot"><svg viewBox="0 0 ${WIDE} ${2 * TALL + LINKS}" preserveAspectRatio="none" role="img" aria-label="${esc(words)}">
    ${linksOf(a, longest)}${hypnogramOf(own, 0, longest)}${hypnogramOf(other, TALL + LINKS, longest)}</svg></div>${axisOf()}</div>`;
  const parts = [["most", a.most], ["least", a.least]].filter(([, s]) => s).map(([word, s]) =>
    `<li><i class="wd-key wd-key-${word}"></i>${word} alike: ${clockOf(s.start_s, own.clock_s).slice(0, 5)}–${clockOf(s.stop_s, own.clock_s).slice(0, 5)} above,
      around ${clockOf(s.other_start_s, other.clock_s).slice(0, 5)}–${clockOf(s.other_stop_s, other.clock_s).slice(0, 5)} below, cosine ${s.cosine.toFixed(2)}</li>`);
  const left = Object.entries(found.not_assessable).filter(([, n]) => n).map(([why, n]) => `${n} nights can't be compared (${why.replace("_", " ")})`);
  return `<ol class="wd-list" aria-label="${unlike ? "least alike nights" : "similar nights"}">${list.join("")}</ol>
    <div class="wd-side"><p class="wd-above"><b>${esc(own.recording)}</b> ${mark(own)} above · <button type="button" class="wd-link" data-night="${esc(other.recording)}">${esc(other.recording)}</button> ${mark(other)} below</p>
    ${drawn}<ul class="wd-keys">${parts.join("")}<li class="wd-none">each line joins two minutes of the night above to the two most like them below; the stronger, the more alike</li></ul>
    ${personOf(found, other, courses)}${numbersOf(found.own, other.numbers, own, other)}
    <p class="wd-none">${esc(other.why.filter((line) => !line.includes("alike")).join("; "))}. Of ${found.searched} nights. ${left.join("; ")}</p></div>`;

  function mark(night) {
    return `${night.simulated ? `<span class="wd-mark">simulated</span>` : ""} ${night.stage.some(Boolean) ? "" : "(nobody staged it)"}`;
  }
}

/** How much of a likeness is the person, said plainly. */
function personOf(found, other, courses) {
  const of = found.nights.length, here = found.nights.indexOf(other) + 1, alone = courses.indexOf(other.course) + 1;
  const what = found.by === "signals" ? "the signals" : "the captions";
  return `<p class="wd-person"><b>Part of this likeness is the person and the sensors, not the sleep.</b> It is taken from ${what}, which look
    alike all night long in one person: of 15 simulated sleepers with two nights each, about 90 % of the nights found the same sleeper's other night among
    their first 5 of 29; by chance 17 % would. With each night's own average taken away, which leaves the course of the sleep,
    this night ${alone === here ? `stays number ${here} of these ${of}` : `becomes number ${alone} of these ${of} instead of ${here}`}.</p>`;
}

/** The numbers of both nights beside each other; what neither has is left out. */
function numbersOf(own, other, ownNight, otherNight) {
  const rows = own.map((one, i) => [one, other[i]]).filter(([a, b]) => a.value !== null || b.value !== null).map(([a, b]) => {
    const cell = (value) => (value === null ? `<span class="wd-none">unknown</span>` : esc(Number.isInteger(value) ? value : numberOf(value)));
    return `<tr title="${esc(a.definition)}"><th scope="row">${esc(named(a.name))}</th><td>${cell(a.value)}</td><td>${cell(b.value)}</td><td class="wd-unit">${esc(a.unit === "text" ? "" : a.unit)}</td></tr>`;
  });
  const half = Math.ceil(rows.length / 2), head = `<thead><tr><th></th><th>above</th><th>below</th><th></th></tr></thead>`;
  return `<div class="wd-numbers" aria-label="numbers of ${esc(ownNight.recording)} and ${esc(otherNight.recording)}">
    ${[rows.slice(0, half), rows.slice(half)].map((part) => `<table>${head}<tbody>${part.join("")}</tbody></table>`).join("")}</div>`;
}
