// What lies behind and over the traces: grid, epochs with their stages, events, bad signal, gaps, scale bars.
const HEAD = 52, FOOT = 18, LEFT = 60;

/** Seconds, epochs with their stages, and the time below. */
function drawGrid({ pen, night, view, x, wide, bottom }) {
  pen.fillStyle = SS.colour("--card");
  pen.fillRect(0, 0, wide, bottom + FOOT);
  if (view.w <= 60) {
    pen.fillStyle = SS.colour("--line");
    pen.globalAlpha = 0.7;
    for (let s = Math.ceil(view.t); s < view.t + view.w; s++) pen.fillRect(x(s), HEAD, 1, bottom - HEAD);
    pen.globalAlpha = 1;
  }
  const e = night.epochs, wideEpoch = (30 / view.w) * wide;
  pen.textAlign = "left";
  e.start_s.forEach((start, i) => {
    if (start + 30 <= view.t || start >= view.t + view.w) return;
    const [left, right] = [Math.max(x(start), LEFT), x(start + 30)], stage = stageAt(night, i), scored = stage !== "not scored";
    if (scored) {
      pen.fillStyle = stageColour(stage);
      pen.fillRect(left, 0, Math.max(right - left + 0.5, 1), 4);
    }
    if (wideEpoch < 14) return;
    pen.fillStyle = SS.colour("--dim");
    pen.globalAlpha = wideEpoch < 40 ? 0.35 : 0.8;
    if (start >= view.t) pen.fillRect(left, 4, 1, bottom - 4);
    pen.globalAlpha = 1;
    pen.fillStyle = scored ? stageColour(stage) : SS.colour("--dim");
    pen.font = "bold 11px system-ui, sans-serif";
    const fits = [`${stage} · epoch ${i + 1}`, stage, scored ? "" : "?"].find((words) => pen.measureText(words).width < right - left - 8);
    if (fits) pen.fillText(fits, left + 5, 12);
  });
  const step = stepOf(view.w, wide, 74), clock = night.start_clock_s ?? 0;
  pen.font = "11px system-ui, sans-serif";
  pen.fillStyle = SS.colour("--dim");
  pen.textAlign = "center";
  for (let s = Math.ceil((view.t + clock) / step) * step - clock; s < view.t + view.w; s += step) {
    pen.fillRect(x(s), bottom, 1, 4);
    if (x(s) < wide - 26) pen.fillText(clockOf(night, s), x(s), bottom + 11);
  }
}

/** A lane of three for each event and its name, from left to right; what finds none is counted beside the name before it. */
function giveLanes(boxes) {
  const ends = [-1e9, -1e9, -1e9];
  let last = null;
  for (const box of boxes) {
    box.lane = ends.findIndex((end) => end <= box.left);
    if (box.lane < 0) { last.more++; continue; }
    ends[box.lane] = Math.max(box.right, box.left + box.wide);
    last = Object.assign(box, { more: 0 });
  }
  return boxes;
}

/** Events as bars with names above the traces, and as a tint over their channel, or over all where they name none. */
function drawEvents({ pen, night, view, x, wide, bottom, shown, h }) {
  const named = view.w <= 300;
  pen.font = "10px system-ui, sans-serif";
  pen.textAlign = "left";
  const seen = night.events.filter(([, , start, stop]) => stop >= view.t && start <= view.t + view.w);
  const boxes = seen.map(([name, kind, start, stop, channel]) => {
    const left = Math.max(x(start), LEFT), right = Math.min(Math.max(x(stop), left + 2), wide);
    return { name, kind, channel, left, right, wide: named ? pen.measureText(`${name} +9`).width + 6 : 0 };
  });
  for (const { name, kind, channel, left, right, lane, more } of giveLanes(boxes.sort((a, b) => a.left - b.left))) {
    const top = lane < 0 ? HEAD - 9 : 21 + lane * 10;
    pen.fillStyle = kindColour(kind);
    if (view.w <= 660) {
      const row = rowOf(channel, shown);
      pen.globalAlpha = row < 0 ? 0.09 : 0.2;
      if (row < 0) pen.fillRect(left, HEAD, right - left, bottom - HEAD);
      else pen.fillRect(left, HEAD + row * h, right - left, h);
      pen.globalAlpha = 1;
    }
    pen.fillRect(left, top + 7, right - left, 2);
    if (!named || lane < 0) continue;
    pen.fillStyle = SS.colour("--ink");
    pen.fillText(name, left + 2, top + 3);
    const words = more ? `+${more}` : "", after = left + 2 + pen.measureText(`${name} `).width;
    pen.fillStyle = SS.colour("--accent");
    pen.fillText(words, Math.min(after, wide - pen.measureText(words).width), top + 3);
  }
}

/** The row of the channel that an event names, by slot, label or canonical name; -1 where it names none that is shown. */
function rowOf(channel, shown) {
  const plain = (s) => s.toLowerCase().replace(/[\s_-]/g, "");
  return channel ? shown.findIndex((c) => [c.name, c.label].some((s) => plain(s) === plain(channel))) : -1;
}

/** Epochs in which the channel's signal can't be used. */
function drawBad({ pen, night, view, x, wide, h }, c, top) {
  for (const i of night.bad[c.name] ?? []) {
    const [left, right] = [x(night.epochs.start_s[i]), x(night.epochs.start_s[i] + 30)];
    if (right > LEFT && left < wide) hatch(pen, Math.max(left, LEFT), top + 2, Math.min(right, wide) - Math.max(left, LEFT), h - 4, SS.colour("--event-respiratory"));
  }
}

/** Stretches of the view in which no file has samples. */
function gapsOf(view, segments) {
  const found = [];
  let last = view.t;
  for (const [start, stop] of segments) {
    if (start > last + 1e-3 && start <= view.t + view.w) found.push([last, start]);
    last = Math.max(last, stop);
  }
  if (last < view.t + view.w - 1e-3) found.push([last, view.t + view.w]);
  return found;
}

/** A scale bar at the left edge, of a round size, with its size and unit. */
function drawBar({ pen, h }, c, half, middle) {
  const size = round125(half * 1.05), long = (size / half) * h / 2;
  pen.fillStyle = SS.colour("--ink");
  pen.fillRect(LEFT - 6, middle - long / 2, 2, long);
  pen.font = "10px system-ui, sans-serif";
  pen.textAlign = "right";
  const words = Object.keys(c.codes).length ? "" : `${Number(size.toPrecision(2))} ${c.unit.replace("1/", "/")}`;
  pen.fillStyle = SS.colour("--dim");
  pen.fillText(words, LEFT - 9, middle);
}

/** The words of a coded channel, such as the body's position, where its value changes. */
function drawWords(frame, c, piece, y) {
  const { pen, view, x } = frame, { start, step, pairs, values } = piece;
  let last = frame.coded, free = LEFT;
  pen.font = "10px system-ui, sans-serif";
  pen.textAlign = "left";
  pen.fillStyle = SS.colour("--ink");
  const first = Math.max(0, Math.floor((view.t - start) / step));
  for (let i = first; i < values.length / (pairs ? 2 : 1) && start + i * step < view.t + view.w; i++) {
    const value = values[pairs ? 2 * i : i], words = c.codes[value], at = Math.max(x(start + i * step), LEFT) + 4;
    if (words && value !== last && at > free) {
      pen.fillText(words, at, y(value) + (value < 2 ? -7 : 8));
      free = at + pen.measureText(words).width + 6;
    }
    last = frame.coded = value;
  }
}
