// Seconds to minutes of a night on a canvas: one row a channel, events shaded, the time below.
const ROW = 24, LEFT = 104, TOP = 14, BOTTOM = 15;
// One sensor of each kind, the first that is there; all of them on request.
const KINDS = [["EEG_C4", "EEG_C3"], ["EOG_L", "EOG_R"], ["EMG_CHIN"], ["ECG"], ["AF"], ["THX", "ABD"], ["SPO2"], ["HR"]];
const LEAST = { EEG: 60, EOG: 60, EMG: 8, SPO2: 4, HR: 8 }; // the narrowest range that a row shows, in its unit

/** The traces that a strip shows. */
function shownTraces(strip, all) {
  if (all) return strip.traces;
  const by = Object.fromEntries(strip.traces.map((trace) => [trace.channel, trace]));
  return KINDS.map((kind) => kind.map((channel) => by[channel]).find(Boolean)).filter(Boolean);
}

/** How high such a strip is, in pixels. */
function stripHeight(count) {
  return TOP + BOTTOM + ROW * Math.max(count, 1);
}

/** The name of the colour of an event. */
function eventColour(name) {
  if (/apnea|hypopnea|RERA|respirat|breathing|hypoventilation|paradox/i.test(name)) return "--event-respiratory";
  if (/arousal/i.test(name)) return "--event-arousal";
  if (/desaturation/i.test(name)) return "--event-desaturation";
  return /limb/i.test(name) ? "--event-limb" : "--event-other";
}

/** The colour of a channel. */
function traceColour(channel) {
  return sleepsearch.colour(`--trace-${channel.split("_")[0]}`) || sleepsearch.colour("--trace-other");
}

/** Little-endian int16 of base64 as an array. */
function unpacked(text) {
  const raw = atob(text), bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i += 1) bytes[i] = raw.charCodeAt(i);
  return new Int16Array(bytes.buffer);
}

/** Draw a strip; `mark` is {from_s, to_s} of what carries the words, in seconds of the recording. */
function drawStrip(canvas, strip, { all = false, mark = null } = {}) {
  const traces = shownTraces(strip, all), width = canvas.clientWidth, height = stripHeight(traces.length);
  if (!width) return;
  const ratio = window.devicePixelRatio || 1;
  canvas.style.height = `${height}px`;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const pen = canvas.getContext("2d"), long = strip.stop_s - strip.start_s;
  pen.scale(ratio, ratio);
  const x = (second) => LEFT + (second / long) * (width - LEFT - 6);
  const ink = sleepsearch.colour("--ink"), dim = sleepsearch.colour("--dim"), line = sleepsearch.colour("--line");
  pen.font = "10.5px system-ui, sans-serif";
  drawTimes(pen, x, long, height, line, dim);
  let free = -1;
  for (const [name, start, stop] of strip.events) {
    const from = x(Math.max(start - strip.start_s, 0)), to = x(Math.min(stop - strip.start_s, long));
    pen.fillStyle = sleepsearch.colour(eventColour(name));
    pen.globalAlpha = 0.15;
    pen.fillRect(from, TOP, Math.max(to - from, 1), height - TOP - BOTTOM);
    pen.globalAlpha = 1;
    pen.fillRect(from, TOP - 2, Math.max(to - from, 1), 2);
    const wide = pen.measureText(name).width, place = Math.max(Math.min(from, x(long) - wide), free);
    if (place <= Math.max(to - wide / 2, from) && place + wide <= width) { // beside the label before it, while still on its own event
      pen.fillText(name, place, TOP - 4);
      free = place + wide + 8;
    }
  }
  if (mark && mark.from_s !== null) {
    pen.strokeStyle = sleepsearch.colour("--accent");
    pen.lineWidth = 2;
    pen.strokeRect(x(mark.from_s - strip.start_s), TOP, x(mark.to_s - strip.start_s) - x(mark.from_s - strip.start_s), height - TOP - BOTTOM);
  }
  traces.forEach((trace, row) => drawTrace(pen, trace, TOP + row * ROW, x, long, { ink, dim }));
}

/** The grid of time: lines, and every second one with seconds, or minutes and seconds of longer strips. */
function drawTimes(pen, x, long, height, line, dim) {
  const step = [5, 15, 30, 60, 150].find((s) => (x(2 * s) - x(0)) >= 52 && long / s <= 24) ?? 300;
  const said = (s) => (long <= 60 ? `${s} s` : s ? `${Math.floor(s / 60)}:${String(s % 60).padStart(2, "0")}` : "0 min");
  let free = 0;
  pen.strokeStyle = line;
  pen.fillStyle = dim;
  pen.lineWidth = 1;
  for (let second = 0; second <= long; second += step) {
    pen.beginPath();
    pen.moveTo(x(second), TOP);
    pen.lineTo(x(second), height - BOTTOM);
    pen.stroke();
    if ((second / step) % 2) continue;
    const words = said(second), wide = pen.measureText(words).width, at = Math.min(x(second), x(long) - wide);
    if (at < free) continue;
    pen.fillText(words, at, height - 3);
    free = at + wide + 8;
  }
}

/** One channel in its row: name, range with its unit, and the trace; negative is up in EEG and EOG. */
function drawTrace(pen, trace, top, x, seconds, { ink, dim }) {
  const kind = trace.channel.split("_")[0], up = kind === "EEG" || kind === "EOG" ? -1 : 1;
  const middle = (trace.low + trace.high) / 2, span = Math.max(trace.high - trace.low, LEAST[kind] || 1e-9);
  const y = (value) => top + ROW / 2 - (up * (value - middle) * (ROW - 4)) / span;
  pen.fillStyle = ink;
  pen.fillText(trace.channel.replace("_", " "), 2, top + 11);
  pen.fillStyle = dim;
  pen.fillText(rangeOf(trace, kind), 2, top + 21);
  pen.strokeStyle = traceColour(trace.channel);
  pen.lineWidth = 1;
  pen.beginPath();
  const times = unpacked(trace.t), values = unpacked(trace.v), from = x(0), wide = x(seconds) - from;
  let held = null;
  for (let i = 0; i < times.length; i += 1) {
    if (values[i] < 0) { held = null; continue; }
    const at = from + (wide * times[i]) / trace.of;
    const now = y(trace.low + ((trace.high - trace.low) * values[i]) / trace.of);
    if (held === null) pen.moveTo(at, now);
    else if (trace.steps) pen.lineTo(at, held);
    pen.lineTo(at, now);
    held = now;
  }
  pen.stroke();
}

/** What a row spans, in its unit; a.u. is said as nothing. */
function rangeOf(trace, kind) {
  if (!trace.unit || trace.channel === "POS") return "";
  if (kind === "SPO2" || kind === "HR") return `${Math.round(trace.low)}–${Math.round(trace.high)} ${trace.unit}`;
  const wide = trace.high - trace.low;
  return `${wide < 10 ? wide.toFixed(1) : Math.round(wide)} ${trace.unit}`;
}

/** What a strip shows, in words for those who don't see it. */
function stripWords(strip) {
  const events = strip.events.map(([name, start]) => `${name} at ${Math.round(start - strip.start_s)} s`);
  return `${strip.traces.map((t) => t.channel).join(", ")}; ${events.join(", ") || "no event scored"}`;
}
