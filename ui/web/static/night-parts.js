// What the course and the viewer share: times in words, canvases that are crisp, numbers as the server packs them.
const SS = window.sleepsearch;
const STAGES = ["W", "REM", "N1", "N2", "N3"];
const KINDS = { "respiratory events": "respiratory", desaturations: "desaturation", arousals: "arousal", "limb movements": "limb", other: "other" };
const GUTTER = 172;

/** The first element of the room that a selector names. */
function $(query) {
  return element.querySelector(query);
}

/** Seconds as H:MM:SS, wrapped at midnight. */
function hms(seconds, tenths = false) {
  const whole = ((seconds % 86400) + 86400) % 86400;
  const two = (n) => String(Math.floor(n)).padStart(2, "0");
  const rest = tenths ? (whole % 60).toFixed(1).padStart(4, "0") : two(whole % 60);
  return `${two(whole / 3600)}:${two((whole % 3600) / 60)}:${rest}`;
}

/** The time of day of a moment where the recorder's clock is known, else the time from the start. */
function clockOf(night, seconds, tenths = false) {
  return hms(seconds + (night.start_clock_s ?? 0), tenths);
}

/** A canvas at the size of its box and the sharpness of the screen: {pen, width, height} in CSS pixels, cleared. */
function fresh(canvas, height = canvas.parentElement.clientHeight) {
  const width = canvas.parentElement.clientWidth, sharp = window.devicePixelRatio || 1;
  const [w, h] = [Math.round(width * sharp), Math.round(height * sharp)];
  if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const pen = canvas.getContext("2d");
  pen.setTransform(sharp, 0, 0, sharp, 0, 0);
  pen.clearRect(0, 0, width, height);
  pen.font = "11px system-ui, sans-serif";
  pen.textBaseline = "middle";
  return { pen, width, height };
}

/** Bytes of base64. */
function bytesOf(text) {
  return Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
}

/** A piece of a trace: {start, step, pairs, values} with NaN where nothing is known. */
function pieceOf([start, step, each, offset, scale, text]) {
  const numbers = new Int16Array(bytesOf(text).buffer), values = new Float32Array(numbers.length);
  for (let i = 0; i < numbers.length; i++) values[i] = numbers[i] === -32768 ? NaN : offset + scale * numbers[i];
  return { start, step, pairs: each === 2, values };
}

/** The next of 1, 2, 5, 10 … at or below a size. */
function round125(size) {
  const ten = 10 ** Math.floor(Math.log10(size)), lead = size / ten;
  return (lead >= 5 ? 5 : lead >= 2 ? 2 : 1) * ten;
}

/** The steps of a time axis so that marks lie at least `apart` pixels apart. */
function stepOf(seconds, width, apart) {
  return [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200].find((s) => (s / seconds) * width >= apart) ?? 14400;
}

/** The epoch at a moment: its place in the lists of the course, or -1. */
function epochAt(night, seconds) {
  const starts = night.epochs.start_s;
  let low = 0, high = starts.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (starts[middle] <= seconds + 1e-6) low = middle + 1;
    else high = middle;
  }
  return low && seconds < starts[low - 1] + 30 ? low - 1 : -1;
}

/** The stage of an epoch in words; what nobody scored is not said to be none. */
function stageAt(night, at) {
  const stage = at < 0 ? null : night.epochs.stage[at];
  return at < 0 ? "no epoch" : !stage || stage === "unscored" ? "not scored" : stage;
}

/** "one arousal, 2 hypopneas" of events in a stretch; what was not scored is no none. */
function eventsIn(night, start, stop) {
  const counts = new Map();
  for (const [name, , from, to] of night.events) if (from < stop && to > start) counts.set(name, (counts.get(name) ?? 0) + 1);
  return [...counts].map(([name, n]) => (n === 1 ? `one ${name}` : `${n} × ${name}`)).join(", ");
}

/** The colour of a kind of event, of a stage. */
const kindColour = (kind) => SS.colour(`--event-${KINDS[kind] ?? "other"}`);
const stageColour = (stage) => SS.colour(`--stage-${stage}`) || SS.colour("--stage-unscored");

/** Slanted lines over a rectangle: there is no signal here, or it is bad. */
function hatch(pen, x, y, width, height, colour) {
  pen.save();
  pen.beginPath();
  pen.rect(x, y, width, height);
  pen.clip();
  pen.strokeStyle = colour;
  pen.globalAlpha = 0.45;
  pen.lineWidth = 1;
  pen.beginPath();
  for (let at = x - height - (x % 7); at < x + width; at += 7) {
    pen.moveTo(at, y + height);
    pen.lineTo(at + height, y);
  }
  pen.stroke();
  pen.restore();
}

/** Call a listener for each width that an element takes while it is seen. */
function onWidth(box, listener) {
  let last = 0;
  new ResizeObserver(() => {
    if (box.clientWidth && box.clientWidth !== last) {
      last = box.clientWidth;
      listener();
    }
  }).observe(box);
}
