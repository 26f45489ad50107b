// The night at a glance: stages, events, lights, trends, similarity and spectrogram on one axis, with one cursor.

/** The overview in `box`; `show(seconds, dragging)` is called where someone clicks, `pointed(seconds)` where they point. */
function makeCourse(box, show, pointed) {
  const base = box.querySelector(".n-base"), over = box.querySelector(".n-over"), tip = box.querySelector(".n-tip");
  let night = null, along = null, spectrum = null, picture = null, band = [0, 30], tracks = [], pointing = null, segments = [];

  /** What stands below what, top to bottom: [name, height, painter]. What is awaited has its place, so that nothing
   *  below moves under the mouse when it comes: `along` and `spectrum` are undefined then, null where there is none. */
  function layout() {
    const others = night.scorers.slice(1).map((scorer) => [scorer[0], 32, (...at) => stages(scorer[1], ...at, true)]);
    const name = night.scorers[0][0];
    const kinds = Object.keys(KINDS).filter((kind) => kind !== "other" || night.events.some((e) => e[1] === "other"));
    return [
      [name ? `stages · ${name}` : "stages", 74, (...at) => stages(night.scorers[0][1], ...at, false)],
      ...others,
      ...kinds.map((kind) => [kind === "other" ? "other events" : kind, 11, (...at) => lane(kind, ...at)]),
      ["SpO₂ %", 30, (...at) => trend("spo2_min_pct", "spo2_mean_pct", "spo2_mean_pct", 90, 100, ...at)],
      ["heart rate 1/min", 30, (...at) => trend("hr_min_bpm", "hr_mean_bpm", "hr_max_bpm", 60, 80, ...at)],
      ...(along === null ? [] : [["similarity", 24, along ? likeness : awaited]]),
      ...(spectrum === null ? [] : [[spectrum ? `${spectrum.label} · Hz` : "spectrogram", 44, spectrum ? spectral : awaited]]),
      ["", 16, axis],
    ];
  }

  const x = (seconds, width) => GUTTER + (seconds / night.duration_s) * (width - GUTTER - 8);
  const secondsAt = (px) => Math.min(Math.max(((px - GUTTER) / (box.clientWidth - GUTTER - 8)) * night.duration_s, 0), night.duration_s - 0.1);

  function draw() {
    if (!night || !box.clientWidth) return;
    tracks = layout();
    const total = tracks.reduce((sum, [, height]) => sum + height + 3, 4);
    box.style.height = `${total}px`;
    const { pen, width } = fresh(base, total);
    let top = 4;
    for (const [name, height, paint] of tracks) {
      if (name) {
        pen.fillStyle = SS.colour("--line");
        pen.fillRect(GUTTER, top + height + 1, width - GUTTER - 8, 1);
        pen.fillStyle = SS.colour("--dim");
        pen.textAlign = "left";
        const atTop = height > 40 ? 7 : height / 2;
        pen.fillText(fitted(pen, name, height > 24 ? GUTTER - 44 : GUTTER - 12), 4, top + atTop);
      }
      paint(pen, top, height, width);
      top += height + 3;
    }
    for (const [start, stop] of gapsOf({ t: 0, w: night.duration_s }, segments))
      hatch(pen, x(start, width), 4, x(stop, width) - x(start, width), total - 20, SS.colour("--dim"));
    lights(pen, width, total);
    drawOver();
    base.setAttribute("aria-label", said());
  }

  /** A name cut to the width of the gutter. */
  function fitted(pen, name, most) {
    if (pen.measureText(name).width <= most) return name;
    let cut = name;
    while (cut && pen.measureText(`${cut}…`).width > most) cut = cut.slice(0, -1);
    return `${cut}…`;
  }

  function said() {
    const hours = (night.duration_s / 3600).toFixed(1);
    const kinds = night.scored.map((kind) => (kind === "stages" ? "stages" : `${night.events.filter((e) => e[1] === kind).length} ${kind}`));
    return `The night ${night.recording}, ${hours} hours: hypnogram, events, SpO2, heart rate. Scored: ${kinds.join(", ") || "nothing"}.`;
  }

  function stages(spans, pen, top, height, width, small) {
    const row = height / STAGES.length, at = (stage) => top + (STAGES.indexOf(stage === "NREM" ? "N2" : stage) + 0.5) * row;
    pen.textAlign = "right";
    STAGES.forEach((stage, i) => {
      pen.fillStyle = SS.colour("--line");
      pen.globalAlpha = 0.6;
      pen.fillRect(GUTTER, top + (i + 0.5) * row, width - GUTTER - 8, 1);
      pen.globalAlpha = 1;
      if (small && i % 2) return;
      pen.fillStyle = stageColour(stage);
      pen.fillText(stage === "REM" ? "R" : stage, GUTTER - 6, top + (i + 0.5) * row);
    });
    if (!spans.length) note(pen, "nobody scored stages", top, height);
    let before = null;
    for (const [start, stop, stage] of spans) {
      if (!STAGES.includes(stage) && stage !== "NREM") continue;
      const [from, to, y] = [x(start, width), x(stop, width), at(stage)];
      if (before && Math.abs(before[0] - start) < 1e-3) {
        pen.strokeStyle = SS.colour("--dim");
        pen.lineWidth = 1;
        pen.beginPath();
        pen.moveTo(from, before[1]);
        pen.lineTo(from, y);
        pen.stroke();
      }
      const thick = (stage === "REM" ? 6 : 2.5) * (small ? 0.7 : 1);
      pen.fillStyle = stageColour(stage);
      pen.fillRect(from, y - thick / 2, Math.max(to - from, 1), thick);
      before = [stop, y];
    }
  }

  function note(pen, words, top, height) {
    pen.fillStyle = SS.colour("--dim");
    pen.textAlign = "left";
    pen.fillText(words, GUTTER + 6, top + height / 2);
  }

  function lane(kind, pen, top, height, width) {
    if (kind !== "other" && !night.scored.includes(kind)) return note(pen, "not scored", top, height);
    pen.fillStyle = kindColour(kind);
    for (const [, of, start, stop] of night.events)
      if (of === kind) pen.fillRect(x(start, width), top + 1, Math.max(x(stop, width) - x(start, width), 1.5), height - 2);
  }

  function trend(low, mean, high, from, to, pen, top, height, width) {
    const [lows, means, highs] = [low, mean, high].map((name) => night.epochs[name]);
    const known = [...lows, ...highs].filter((v) => v !== null);
    if (!known.length) return note(pen, "not measured", top, height);
    const floor = Math.min(from, 5 * Math.floor(Math.min(...known) / 5)), roof = Math.max(to, low.startsWith("hr") ? 5 * Math.ceil(Math.max(...known) / 5) : 100);
    const y = (v) => top + height - ((v - floor) / (roof - floor)) * height;
    pen.textAlign = "right";
    pen.fillStyle = SS.colour("--dim");
    pen.fillText(roof, GUTTER - 6, top + 6);
    pen.fillText(floor, GUTTER - 6, top + height - 5);
    const colour = SS.colour(low.startsWith("hr") ? "--trace-HR" : "--trace-SPO2");
    pen.fillStyle = pen.strokeStyle = colour;
    pen.lineWidth = 1.3;
    pen.beginPath();
    let last = null;
    night.epochs.start_s.forEach((start, i) => {
      if (means[i] === null) { last = null; return; }
      const [left, right] = [x(start, width), x(start + 30, width)];
      pen.globalAlpha = 0.3;
      if (lows[i] !== null && highs[i] !== null) pen.fillRect(left, y(highs[i]), Math.max(right - left, 1), Math.max(y(lows[i]) - y(highs[i]), 0.5));
      pen.globalAlpha = 1;
      if (last === null || Math.abs(last - start) > 1e-3) pen.moveTo(left, y(means[i]));
      pen.lineTo((left + right) / 2, y(means[i]));
      last = start + 30;
    });
    pen.stroke();
  }

  const awaited = (pen, top, height) => note(pen, "reading …", top, height);

  /** The colour of a likeness: from one standard deviation below the night's mean to three above. */
  const shade = (z) => `rgb(${props.colours[Math.round(255 * Math.min(Math.max((z + 1) / 4, 0), 1))].join(",")})`;

  function likeness(pen, top, height, width) {
    along.start_s.forEach((start, i) => {
      const [left, wide] = [x(start, width), x(30, width) - x(0, width)];
      if (along.z[i] === null) return hatch(pen, left, top + 8, wide, height - 8, SS.colour("--dim"));
      pen.fillStyle = shade(along.z[i]);
      pen.fillRect(left, top + 8, Math.max(wide + 0.4, 1), height - 8);
    });
    pen.fillStyle = SS.colour("--ink");
    for (const [start] of along.peaks) {
      const at = x(start + 15, width);
      pen.beginPath();
      pen.moveTo(at - 4, top);
      pen.lineTo(at + 4, top);
      pen.lineTo(at, top + 7);
      pen.fill();
    }
  }

  function spectral(pen, top, height, width) {
    pen.imageSmoothingEnabled = false;
    const stop = spectrum.columns * spectrum.column_s;
    pen.save();
    pen.beginPath();
    pen.rect(GUTTER, top, width - GUTTER - 8, height);
    pen.clip();
    pen.drawImage(picture, GUTTER, top, x(stop, width) - GUTTER, height);
    pen.restore();
    pen.fillStyle = SS.colour("--dim");
    pen.textAlign = "right";
    pen.fillText(Math.round(spectrum.to_hz), GUTTER - 6, top + 6);
    pen.fillText("0", GUTTER - 6, top + height - 5);
  }

  /** The spectrogram as a picture of one pixel a cell, low frequencies at the bottom. */
  function painted() {
    const cells = bytesOf(spectrum.image), image = new ImageData(spectrum.columns, spectrum.frequencies);
    for (let row = 0; row < spectrum.frequencies; row++)
      for (let column = 0; column < spectrum.columns; column++) {
        const cell = cells[row * spectrum.columns + column];
        if (cell) image.data.set([...props.colours[cell], 255], 4 * ((spectrum.frequencies - 1 - row) * spectrum.columns + column));
      }
    const canvas = new OffscreenCanvas(spectrum.columns, spectrum.frequencies);
    canvas.getContext("2d").putImageData(image, 0, 0);
    return canvas;
  }

  function axis(pen, top, height, width) {
    const step = stepOf(night.duration_s, width - GUTTER, 70), clock = night.start_clock_s ?? 0;
    pen.fillStyle = SS.colour("--dim");
    pen.textAlign = "left";
    pen.fillText(night.start_clock_s === null ? "time from the start" : "clock", 4, top + height / 2);
    pen.textAlign = "center";
    for (let at = Math.ceil(clock / step) * step - clock; at <= night.duration_s; at += step) {
      pen.fillRect(x(at, width), top - 3, 1, 4);
      pen.fillText(clockOf(night, at).slice(0, 5), Math.min(x(at, width), width - 22), top + height / 2 + 2);
    }
  }

  function lights(pen, width, total) {
    pen.font = "10px system-ui, sans-serif";
    for (const [off, on, source] of night.lights) {
      if (source === "assumed") continue;
      for (const [at, words] of [[off, "lights off"], [on, "lights on"]]) {
        pen.strokeStyle = pen.fillStyle = SS.colour("--ink");
        pen.setLineDash([3, 3]);
        pen.beginPath();
        pen.moveTo(x(at, width), 0);
        pen.lineTo(x(at, width), total - 18);
        pen.stroke();
        pen.setLineDash([]);
        pen.textAlign = words === "lights on" ? "right" : "left";
        pen.fillText(words, x(at, width) + (words === "lights on" ? -3 : 3), 19);
      }
    }
  }

  function drawOver() {
    const { pen, width, height } = fresh(over, base.clientHeight);
    const [from, to] = band.map((s) => x(Math.min(Math.max(s, 0), night.duration_s), width));
    pen.fillStyle = SS.colour("--accent");
    pen.globalAlpha = to - from > 0.9 * (width - GUTTER) ? 0 : 0.22;
    pen.fillRect(from, 0, Math.max(to - from, 2), height);
    pen.globalAlpha = 1;
    pen.strokeStyle = SS.colour("--accent");
    pen.strokeRect(from - 0.5, 0.5, Math.max(to - from, 2) + 1, height - 1);
    if (pointing === null) return;
    pen.fillStyle = SS.colour("--ink");
    pen.fillRect(x(pointing, width), 0, 1, height - 16);
  }

  function hover(event) {
    pointing = night && event.offsetX >= GUTTER - 3 ? secondsAt(event.offsetX) : null;
    tip.hidden = pointing === null;
    pointed(pointing);
    if (night) drawOver();
    if (pointing === null) return;
    const at = epochAt(night, pointing), e = night.epochs, value = (name) => (at < 0 ? null : e[name][at]);
    const lines = [`<b>${clockOf(night, pointing)}</b> · ${hms(pointing)} from the start`, `epoch ${at + 1} · ${stageAt(night, at)}`];
    if (value("spo2_mean_pct") !== null) lines.push(`SpO₂ ${value("spo2_mean_pct").toFixed(0)} %, least ${value("spo2_min_pct").toFixed(0)} %`);
    if (value("hr_mean_bpm") !== null) lines.push(`heart ${["hr_min_bpm", "hr_mean_bpm", "hr_max_bpm"].map((n) => value(n).toFixed(0)).join(" – ")} 1/min`);
    if (value("position")) lines.push(SS.esc(value("position")));
    const events = eventsIn(night, pointing - 1, pointing + 1);
    if (events) lines.push(SS.esc(events));
    const i = along ? along.start_s.findIndex((s) => s <= pointing && pointing < s + 30) : -1;
    if (i >= 0) lines.push(along.z[i] === null ? "similarity can't be judged here" : `similarity ${along.z[i].toFixed(1)} SD from the night's mean`);
    tip.innerHTML = lines.join("<br>");
    tip.style.left = `${Math.min(event.offsetX + 14, box.clientWidth - tip.offsetWidth - 8)}px`;
    tip.style.top = `${Math.min(event.offsetY + 14, box.clientHeight - 20)}px`;
  }

  over.addEventListener("pointermove", (event) => {
    hover(event);
    if (event.buttons & 1 && over.hasPointerCapture(event.pointerId)) show(secondsAt(event.offsetX), true);
  });
  over.addEventListener("pointerleave", () => { pointing = null; tip.hidden = true; pointed(null); if (night) drawOver(); });
  over.addEventListener("pointerdown", (event) => {
    if (!night || event.offsetX < GUTTER - 3) return;
    over.setPointerCapture(event.pointerId);
    const at = secondsAt(event.offsetX), near = (8 / (box.clientWidth - GUTTER)) * night.duration_s;
    const peak = along && along.peaks.find(([start]) => Math.abs(start + 15 - at) < near && inTrack("similarity", event.offsetY));
    show(peak ? peak[0] + 15 : at, false);
  });

  function inTrack(name, y) {
    let top = 4;
    for (const [of, height] of tracks) {
      if (of === name) return y >= top - 4 && y <= top + height + 4;
      top += height + 3;
    }
    return false;
  }

  onWidth(box, draw);
  return {
    draw,
    night(found) { night = found; [along, spectrum] = [null, undefined]; segments = [[0, found.duration_s]]; draw(); },
    segments(found) { segments = found; draw(); },
    point(seconds) { pointing = seconds; if (night && base.width) drawOver(); },
    along(found) { along = found; draw(); },
    spectrum(found) { spectrum = found; picture = found && painted(); draw(); },
    band(from, to) { band = [from, to]; if (night && base.width) drawOver(); },
  };
}
