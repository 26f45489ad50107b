// The waveform viewer: tiles of traces as the server folds them, drawn row by row with grid, epochs and events over them.
// How many times its usual size fits half a row: what is seldom large, such as a muscle, gets more room.
const ROOM = { eeg: 1.2, eog: 1.6, flow: 1.8, emg: 3.5, sound: 2.5 };

/** The viewer in `.n-viewer`. `ask(start, stop, columns)` fetches a tile; `moved(t)`, `sized(factor, t)` follow the mouse. */
function makeWave(box, { ask, moved, sized, reading, gained, hidden, told, pointed }) {
  const rows = box.querySelector(".n-rows"), plot = box.querySelector(".n-plot");
  const base = plot.querySelector(".n-base"), over = plot.querySelector(".n-over");
  const tiles = makeTiles(ask, { arrived: () => draw(), reading });
  let night = null, known = null, shown = [], view = { t: 0, w: 30, gain: {}, hide: new Set(), look: "" };
  let measuring = false, marks = [], pointing = null, generation = 0;

  const width = () => plot.clientWidth - LEFT;
  const rowHeight = () => Math.round(Math.min(Math.max((innerHeight - 430) / Math.max(shown.length, 1), 30), 60));
  const x = (seconds) => LEFT + ((seconds - view.t) / view.w) * width();
  const secondsAt = (px) => view.t + ((px - LEFT) / width()) * view.w;
  const origin = () => ((night.epochs.start_s[0] ?? 0) % 30);

  /** The tiles that `[from, to)` lies in, as [start, stop]. */
  function tilesOf(from, to) {
    if (view.w >= night.duration_s) return [[0, night.duration_s]];
    const first = Math.floor((from - origin()) / view.w + 1e-6), last = Math.ceil((to - origin()) / view.w - 1e-6);
    return Array.from({ length: Math.max(last - first, 1) }, (_, i) => [origin() + (first + i) * view.w, origin() + (first + i + 1) * view.w])
      .filter(([start, stop]) => stop > 0 && start < night.duration_s);
  }

  const columns = () => Math.min(200 * Math.ceil((width() * (window.devicePixelRatio || 1)) / 200), 4000);
  const keyOf = ([start, stop]) => [generation, start.toFixed(3), stop.toFixed(3), columns(), view.look].join("|");
  const tracesOf = (tile, name) => tiles.got(keyOf(tile))?.traces[name] ?? [];

  /** Ask for what is seen, then for the windows beside it. */
  function fetchTiles() {
    if (!night || !known || width() <= 0) return;
    const entry = (tile) => {
      const [start, stop] = [Math.max(tile[0], 0), Math.min(tile[1], night.duration_s)];
      return { key: keyOf(tile), start, stop, columns: Math.max(Math.round((columns() * (stop - start)) / (tile[1] - tile[0])), 1) };
    };
    tiles.want(tilesOf(view.t, view.t + view.w).map(entry), tilesOf(view.t - view.w, view.t + 2 * view.w).map(entry).reverse());
  }

  /** One row a channel that is shown: name, the file's label, unit, gain and off. */
  function drawRows() {
    shown = known ? known.channels.filter((c) => !view.hide.has(c.name)) : [];
    const focused = document.activeElement?.closest?.(".n-ch")?.dataset.ch;
    plot.style.height = `${HEAD + FOOT + Math.max(shown.length, 3) * rowHeight()}px`;
    rows.style.paddingTop = `${HEAD}px`;
    rows.innerHTML = shown.map((c) => {
      const [name, label, means] = [c.name, c.label, c.means].map(SS.esc), axis = inverted(c) ? ", neg. up" : "";
      const band = c.band_hz ? `${c.band_hz[0]}–${c.band_hz[1]} Hz` : "no filter";
      return `<div class="n-ch" role="group" tabindex="0" data-ch="${name}" style="height:${rowHeight()}px" title="${means}; ${band}; ${c.rate_hz} Hz"
        aria-label="${name}, in the file ${label}, ${SS.esc(unitOf(c))}${axis}${c.substitute ? ", a substitute" : ""}">
        <span><b>${name}</b> <small>${label}</small><br><small>${SS.esc(unitOf(c))}${axis}</small>${c.substitute ? " <i>substitute</i>" : ""}</span>
        <span class="n-gain"><button type="button" data-gain="1" aria-label="${name} larger">+</button><button type="button" data-gain="-1" aria-label="${name} smaller">−</button><button type="button" data-off aria-label="hide ${name}">×</button></span></div>`;
    }).join("");
    if (focused) rows.querySelector(`[data-ch="${CSS.escape(focused)}"]`)?.focus();
  }

  const inverted = (c) => c.kind === "eeg" || c.kind === "eog";
  const unitOf = (c) => (Object.keys(c.codes).length ? "code" : c.unit || "no unit");

  /** [value in the middle of the row, what half a row stands for] of a channel. */
  function scaleOf(c) {
    const gain = 1.5 ** (view.gain[c.name] ?? 0), e = night.epochs, least = (list) => Math.min(...list.filter((v) => v !== null));
    const between = (low, high) => [(low + high) / 2, ((high - low) / 2) * 1.15 / gain];
    if (c.name === "SPO2") return between(Math.min(85, least([...e.spo2_min_pct, 100]) - 1), 100);
    if (c.name === "HR") return between(Math.min(50, least([...e.hr_min_bpm, 60])), Math.max(90, ...e.hr_max_bpm.filter((v) => v !== null)));
    if (Object.keys(c.codes).length) return between(-0.8, 4.8);
    const [middle, half] = c.size ?? [0, 1];
    const rare = c.steps ? 1.1 : (ROOM[c.kind] ?? 1.4) * (view.w > 180 ? 1.8 : 1); // the longer, the more that is rare is seen
    return [middle, ((half || 1) * rare) / gain];
  }

  function draw() {
    if (!night || !known || width() <= 0) return;
    const { pen, width: wide, height } = fresh(base), bottom = height - FOOT, h = rowHeight();
    const frame = { pen, night, view, x, wide, bottom, shown, h };
    drawGrid(frame);
    drawEvents(frame);
    shown.forEach((c, i) => {
      const top = HEAD + i * h, middle = top + h / 2, [centre, half] = scaleOf(c), sign = inverted(c) ? 1 : -1;
      const y = (v) => middle + (sign * (v - centre) * h) / 2 / half;
      drawBad(frame, c, top);
      pen.save();
      pen.beginPath();
      const beyond = view.w > 180 || c.steps ? 0 : 0.3 * h;
      pen.rect(LEFT, top - beyond, wide - LEFT, h + 2 * beyond);
      pen.clip();
      pen.strokeStyle = SS.colour(`--trace-${({ eeg: "EEG", eog: "EOG", emg: "EMG", ecg: "ECG", oximetry: "SPO2", rate: "HR" })[c.kind] ?? "other"}`);
      pen.lineWidth = view.w > 60 ? 0.8 : 1;
      pen.lineJoin = "round";
      for (const tile of tilesOf(view.t, view.t + view.w)) {
        for (const piece of tracesOf(tile, c.name)) {
          trace(pen, piece, y, c.steps, tile);
          if (Object.keys(c.codes).length) drawWords(frame, c, piece, y);
        }
      }
      pen.restore();
      drawBar(frame, c, half, middle);
    });
    for (const [start, stop] of gapsOf(view, known.segments)) hatch(pen, x(start), HEAD, x(stop) - x(start), bottom - HEAD, SS.colour("--dim"));
    base.setAttribute("aria-label", said());
    drawOver();
    fetchTiles();
  }

  /** One piece as a line: samples, held values, or the extremes of columns in the order that the line takes. */
  function trace(pen, piece, y, steps, tile) {
    const { start, step, pairs, values } = piece, each = pairs ? 2 : 1, n = values.length / each;
    const first = Math.max(0, Math.floor((view.t - start) / step) - 1), last = Math.min(n, Math.ceil((view.t + view.w - start) / step) + 2);
    let down = false, before = NaN;
    pen.beginPath();
    for (let i = first; i < last; i++) {
      const a = values[i * each], at = x(start + (pairs ? i + 0.5 : i) * step);
      if (a !== a) { down = false; continue; }
      let [one, two] = pairs ? [a, values[i * 2 + 1]] : [a, a];
      if (pairs && down && Math.abs(before - two) < Math.abs(before - one)) [one, two] = [two, one];
      if (!down) pen.moveTo(at, y(one));
      else if (steps && !pairs) { pen.lineTo(at, y(before)); pen.lineTo(at, y(one)); }
      else pen.lineTo(at, y(one));
      if (pairs) pen.lineTo(at, y(two));
      [down, before] = [true, two];
    }
    if (down && steps && !pairs) pen.lineTo(x(Math.min(start + last * step, tile[1])), y(before));
    pen.stroke();
  }

  /** What is seen, in words. */
  function said() {
    const at = epochAt(night, view.t + Math.min(view.w, 30) / 2), events = eventsIn(night, view.t, view.t + view.w);
    const place = view.w <= 30 ? `Epoch ${at + 1}, ${clockOf(night, view.t)}, ${stageAt(night, at)}` : `${clockOf(night, view.t)} to ${clockOf(night, view.t + view.w)}, from epoch ${at + 1}`;
    const scored = night.scored.some((kind) => kind !== "stages");
    return `${place}, ${events || (scored ? "no scored event" : "events not scored")}`;
  }

  function drawOver() {
    const { pen, height } = fresh(over);
    pen.fillStyle = SS.colour("--ink");
    if (pointing && pointing.x >= LEFT && pointing.x <= LEFT + width()) {
      pen.globalAlpha = 0.5;
      pen.fillRect(pointing.x, 20, 1, height - FOOT - 20);
      pen.globalAlpha = 1;
      const c = shown[Math.floor((pointing.y - HEAD) / rowHeight())], value = c && valueAt(c, secondsAt(pointing.x));
      const here = secondsAt(pointing.x), near = (2 / width()) * view.w, events = pointing.y < HEAD && eventsIn(night, here - near, here + near);
      const bad = c && night.bad[c.name]?.includes(epochAt(night, secondsAt(pointing.x))) ? " · not usable in this epoch" : "";
      label(pen, pointing.x, 8, `${clockOf(night, secondsAt(pointing.x), true)}${value !== undefined && value !== null ? ` · ${c.name} ${value}` : ""}${bad}${events ? ` · ${events}` : ""}`);
    }
    const ends = marks.length === 1 && pointing ? [marks[0], pointing] : marks;
    if (!ends.length) return;
    pen.strokeStyle = SS.colour("--accent");
    pen.lineWidth = 1.5;
    for (const end of ends) pen.strokeRect(end.x - 3, end.y - 3, 6, 6);
    if (ends.length < 2) return;
    pen.beginPath();
    pen.moveTo(ends[0].x, ends[0].y);
    pen.lineTo(ends[1].x, ends[0].y);
    pen.lineTo(ends[1].x, ends[1].y);
    pen.stroke();
    label(pen, (ends[0].x + ends[1].x) / 2, Math.min(ends[0].y, ends[1].y) - 10, measured(ends));
  }

  /** Seconds, 1/s and amplitude between two points, by the scale of the channel of the first. */
  function measured([a, b]) {
    const seconds = Math.abs(b.x - a.x) / width() * view.w, c = shown[Math.floor((a.y - HEAD) / rowHeight())];
    const size = c ? (Math.abs(b.y - a.y) / (rowHeight() / 2)) * scaleOf(c)[1] : 0;
    return `${seconds.toFixed(seconds < 10 ? 2 : 1)} s${seconds > 0 ? ` · ${(1 / seconds).toPrecision(3)} /s` : ""}${c ? ` · ${size.toPrecision(3)} ${unitOf(c)} (${c.name})` : ""}`;
  }

  function label(pen, at, y, words) {
    pen.font = "bold 11px system-ui, sans-serif";
    const wide = pen.measureText(words).width + 10, left = Math.min(Math.max(at - wide / 2, 0), LEFT + width() - wide);
    pen.fillStyle = SS.colour("--ink");
    pen.fillRect(left, Math.max(y - 8, 0), wide, 16);
    pen.fillStyle = SS.colour("--card");
    pen.textAlign = "left";
    pen.fillText(words, left + 5, Math.max(y - 8, 0) + 8);
  }

  /** The value of a channel at a moment as it is drawn, with its unit; null where there is none. */
  function valueAt(c, seconds) {
    for (const tile of tilesOf(seconds, seconds + 1e-3))
      for (const piece of tracesOf(tile, c.name)) {
        const i = Math.floor((seconds - piece.start) / piece.step), each = piece.pairs ? 2 : 1;
        if (i < 0 || i * each >= piece.values.length) continue;
        const parts = [...piece.values.slice(i * each, (i + 1) * each)].map((v) => Number(v.toPrecision(3)));
        return parts.some(Number.isNaN) ? null : `${[...new Set(parts)].join(" … ")} ${c.unit}`;
      }
    return null;
  }

  const pointOf = (event) => ({ x: event.offsetX, y: event.offsetY });
  let drag = null;
  over.addEventListener("pointerdown", (event) => {
    if (!known) return;
    box.focus({ preventScroll: true });
    if (measuring) { marks = marks.length === 1 ? [marks[0], pointOf(event)] : [pointOf(event)]; if (marks.length === 2) told(measured(marks)); return drawOver(); }
    over.setPointerCapture(event.pointerId);
    drag = { x: event.offsetX, t: view.t };
  });
  over.addEventListener("pointermove", (event) => {
    pointing = pointOf(event);
    pointed(night && event.offsetX >= LEFT ? secondsAt(event.offsetX) : null);
    if (drag && Math.abs(event.offsetX - drag.x) > 3) moved(drag.t - ((event.offsetX - drag.x) / width()) * view.w);
    else if (known && night) drawOver();
  });
  over.addEventListener("pointerup", () => { drag = null; });
  over.addEventListener("pointerleave", () => { pointing = null; pointed(null); if (known && night) drawOver(); });
  over.addEventListener("wheel", (event) => {
    event.preventDefault();
    if (event.timeStamp - (over.turned ?? -1e9) < 180 || !event.deltaY) return;
    over.turned = event.timeStamp;
    sized(event.deltaY > 0 ? 1 : -1, secondsAt(Math.max(event.offsetX, LEFT)));
  }, { passive: false });
  rows.addEventListener("click", (event) => {
    const row = event.target.closest(".n-ch"), button = event.target.closest("button");
    if (button?.dataset.gain) gained([row.dataset.ch], Number(button.dataset.gain));
    else if (button) hidden(row.dataset.ch, true);
  });
  onWidth(plot, draw);

  return {
    draw, said,
    /** Another night, or other channels of it; null while they are read. */
    night(found) { night = found; known = null; marks = []; generation++; rows.innerHTML = ""; if (base.width) fresh(base); },
    channels(found) { known = found; drawRows(); draw(); },
    look(next) { const rowsToo = next.hide !== view.hide; if (next.t !== view.t || next.w !== view.w) marks = []; view = next; if (rowsToo && night) drawRows(); draw(); },
    measure(on) { measuring = on; marks = []; over.style.cursor = on ? "crosshair" : "grab"; if (known) drawOver(); },
    point(seconds) { pointing = seconds === null || !known ? null : { x: x(seconds), y: 0 }; if (known) drawOver(); },
    focused: () => document.activeElement?.closest?.(".n-ch")?.dataset.ch,
    names: () => shown.map((c) => c.name),
    traces: () => tilesOf(view.t, view.t + view.w).map((tile) => tiles.got(keyOf(tile))).filter(Boolean),
  };
}
