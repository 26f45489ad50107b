// Cards of hits: what is known of a moment or a night, and its strip once the card comes into view.
const STAGES = ["W", "REM", "N1", "N2", "N3"]; // from the top of a hypnogram

const { hms } = window.sleepsearch;

/** The time of day at a second of a recording, where its clock is known. */
function clockAt(outline, seconds) {
  return outline.start_clock_s === null ? "" : hms((outline.start_clock_s + seconds) % 86400);
}

/** How long something is, in words. */
function lasting(seconds) {
  return seconds < 90 ? `${Math.round(seconds)} s` : seconds < 5400 ? `${+(seconds / 60).toFixed(1)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

/** A night's hypnogram as SVG, with a mark from `start` to `stop` where one is given. */
function hypnogram(outline, start, stop) {
  const { duration_s: long, stages } = outline, x = (s) => ((1000 * s) / long).toFixed(1);
  const bars = stages.filter(([, , stage]) => stage !== "unscored").map(([from, to, stage]) => {
    const row = stage === "NREM" ? 3 : STAGES.indexOf(stage);
    return `<rect x="${x(from)}" y="${row * 7 + 1}" width="${Math.max(x(to) - x(from), 0.8)}" height="6" fill="var(--stage-${stage})"/>`;
  });
  const scored = bars.length ? "" : '<text x="500" y="24" text-anchor="middle">no stage scored</text>';
  const mark = start === undefined ? "" : `<rect class="se-mark" x="${Math.max(x(start) - 3, 0)}" y="0" width="${Math.max(x(stop) - x(start), 7)}" height="37"/>`;
  const label = `hypnogram of ${outline.recording}, ${lasting(long)}${start === undefined ? "" : `; the hit lies ${lasting(start)} in`}`;
  return `<svg class="se-hypno" viewBox="0 0 1000 37" preserveAspectRatio="none" role="img" aria-label="${sleepsearch.esc(label)}">${bars.join("")}${scored}${mark}</svg>`;
}

/** The address of a place in another room, for links that can be opened beside. */
function addressOf(changes) {
  return `?${new URLSearchParams(Object.entries(changes).filter(([, value]) => value !== null && value !== undefined && value !== ""))}`;
}

/** A stage as a badge. */
function stageBadge(hit) {
  const by = hit.stage_source ? `by ${hit.stage_source}` : "nobody scored it";
  return hit.stage && hit.stage !== "unscored" ? `<span class="ss-stage" style="--of: var(--stage-${sleepsearch.esc(hit.stage)})" title="${sleepsearch.esc(by)}">${sleepsearch.esc(hit.stage)}</span>`
    : '<span class="ss-stage ss-none" title="nobody scored it">no stage</span>';
}

/** The head of a card: rank, recording, stage, simulated, score. */
function cardTop(hit, rank, place) {
  const esc = sleepsearch.esc;
  return `<header><span class="se-rank">${rank}</span>
    <a class="se-rec" href="${esc(addressOf(place))}" data-do="night">${esc(hit.recording)}</a>
    ${place.t === undefined ? "" : stageBadge(hit)}
    <span class="se-score" title="ranks the hits of this question; it is no probability">score ${hit.score.toFixed(2)}</span></header>`;
}

/** Says that no person slept it. */
function simulatedBadge(hit) {
  return hit.simulated ? '<span class="ss-simulated">simulated</span>' : "";
}

/** One card of an answer to what was `asked`, as HTML. */
function cardHtml(hit, rank, answer, asked) {
  const esc = sleepsearch.esc, outline = answer.outlines[hit.recording];
  const why = hit.why.map((line) => `<li>${esc(line)}</li>`).join("");
  const button = (what, text, title) => `<button type="button" data-do="${what}" title="${esc(title)}">${text}</button>`;
  if (answer.nights) {
    const clock = clockAt(outline, 0);
    return `<li class="se-card se-night" tabindex="0" data-hit="${rank - 1}" aria-label="night ${rank}: ${esc(hit.recording)}"><div class="se-side">
      ${cardTop(hit, rank, { room: "night", rec: hit.recording })}
      <p class="se-when">${lasting(hit.stop_s)}${clock ? ` from ${clock}` : ""}${hit.subject !== hit.recording ? ` · ${esc(hit.subject)}` : ""}${simulatedBadge(hit)}</p>
      <ul class="se-why">${why}</ul></div>
      <div class="se-main">${hypnogram(outline)}<p class="se-report">${esc(hit.caption.night)}</p>
      <div class="se-buttons">${button("night", "Open night", "the night's course and waveforms (Enter)")}${button("like", "Similar nights", "nights most like this one")}${button("words", "In words", "what was measured in it")}</div></div></li>`;
  }
  const clock = clockAt(outline, hit.start_s);
  const events = hit.events.map((event) => `<span class="ss-event" style="--of: var(${eventColour(event)})">${esc(event)} s</span>`).join("");
  const substitutes = hit.substitutes.length ? `<p class="se-dim">substitutes: ${esc(hit.substitutes.join("; "))}</p>` : "";
  return `<li class="se-card" tabindex="0" data-hit="${rank - 1}" aria-label="hit ${rank}: ${esc(hit.recording)} at ${hms(hit.start_s)}, ${esc(hit.stage || "no stage")}"><div class="se-side">
    ${cardTop(hit, rank, { room: "night", rec: hit.recording, t: hit.start_s })}
    <p class="se-when"><b>${hms(hit.start_s)}–${hms(hit.stop_s)}</b> ${lasting(hit.stop_s - hit.start_s)}${clock ? ` · clock <b>${clock}</b>` : " · clock not known"}${simulatedBadge(hit)}</p>
    ${hypnogram(outline, hit.start_s, hit.stop_s)}
    ${events ? `<p class="se-events">${events}</p>` : ""}<ul class="se-why">${why}</ul>${substitutes}</div>
    <div class="se-main"><figure><canvas role="img" aria-label="waveforms, not drawn yet"></canvas><figcaption aria-live="polite">reading waveforms …</figcaption></figure>
    <div class="se-buttons">${button("night", "Open in Night", "hypnogram and waveforms around it (Enter)")}${button("words", "In words", "what was measured, and what a decoder says")}${button("like", "More like this", "epochs with captions and measures near this one")}${asked.q ? button("where", "Where in it?", "the sensor and the seconds that carry the words") : ""}</div></div></li>`;
}

/** Draws the strips of cards as they come into view; `read(hit)` brings one. */
function stripsOf(list, read, showAll) {
  const drawn = new Map(); // card -> {strip, mark, note}
  const seen = new IntersectionObserver((entries) => entries.filter((e) => e.isIntersecting).forEach((e) => { seen.unobserve(e.target); load(e.target); }), { rootMargin: "300px" });

  async function load(card, state = { strip: null, mark: null, note: "" }) {
    drawn.set(card, state);
    try {
      state.strip = await read(card.hit, state.at ?? card.hit.best_s);
    } catch (fault) {
      card.querySelector("canvas").hidden = true;
      card.querySelector("figcaption").textContent = `Waveforms are not to be had: ${fault.message}`;
      card.querySelector("figure").classList.add("se-none");
      return;
    }
    draw(card);
  }

  function draw(card) {
    const state = drawn.get(card);
    if (!state || !state.strip) return;
    const { strip, mark, note } = state, canvas = card.querySelector("canvas");
    drawStrip(canvas, strip, { all: showAll(), mark });
    canvas.setAttribute("aria-label", `waveforms: ${stripWords(strip)}`);
    const [from, to] = strip.of_s, long = strip.stop_s - strip.start_s, around = state.at === undefined ? "its best epoch" : "what is marked";
    const part = to - from > long + 0.01 ? `drawn: ${hms(strip.start_s)}–${hms(strip.stop_s)}, the ${lasting(long)} around ${around}, of ${lasting(to - from)}` : long > 60 ? `all ${lasting(long)}` : "";
    const missing = strip.missing.length ? `not recorded: ${strip.missing.join(", ").replaceAll("_", " ")}` : "";
    const none = strip.traces.length ? "" : "no channel can be drawn here";
    card.querySelector("figcaption").textContent = [note, none, part, missing].filter(Boolean).join(" · ");
  }

  /** Mark the seconds that carry the words, and say which sensor does; where they are not drawn, draw what is around them. */
  async function mark(card, found) {
    const state = drawn.get(card), from = found.mark?.from_s ?? null;
    if (!state) return;
    Object.assign(state, found);
    if (state.strip && from !== null && (from < state.strip.start_s || from >= state.strip.stop_s)) {
      state.at = from;
      await load(card, state);
    } else draw(card);
  }

  const all = () => [...drawn.keys()].forEach((card) => (card.isConnected ? draw(card) : drawn.delete(card)));
  addEventListener("sleepsearch:theme", all);
  let wide = 0;
  new ResizeObserver(() => { if (list.clientWidth !== wide) { wide = list.clientWidth; all(); } }).observe(list);
  return { watch: (card) => seen.observe(card), all, mark, clear: () => { seen.disconnect(); drawn.clear(); } };
}
