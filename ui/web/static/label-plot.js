// Pictures of figures: a histogram with a threshold that is dragged, a table of confusion, a bar of counts.
const WIDE = 420, HIGH = 150, FOOT = 16, JOINED = 4; // JOINED: bins that are drawn as one bar

/** An SVG element. */
function svg(tag, given = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(given)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

/** What lies at or above an edge of a spread, and how good it would be as the label; null without a scorer. */
function aboveOf(spread, edge) {
  const sum = (counts, from) => counts.slice(from).reduce((all, n) => all + n, 0);
  const here = sum(spread.here, edge), elsewhere = sum(spread.elsewhere, edge), scored = sum(spread.here, 0);
  const above = here + elsewhere + sum(spread.unscored, edge), said = here + elsewhere;
  if (!scored) return { above, scored, precision: null, recall: null, f1: null };
  return { above, scored, precision: said ? here / said : null, recall: here / scored, f1: (2 * here) / (said + scored) };
}

/** The edge with the highest F1. */
function bestEdge(spread) {
  let best = spread.start, most = -1;
  for (let edge = 0; edge < spread.edges.length; edge += 1) {
    const { f1 } = aboveOf(spread, edge);
    if (f1 !== null && f1 > most) [best, most] = [edge, f1];
  }
  return best;
}

/** A histogram by the scorer's label, with a threshold that moves by mouse and keys; `changed(edge)` hears of it. */
function histogram(spread, colour, edge, changed) {
  const last = spread.edges.length - 1, total = spread.here.map((n, i) => n + spread.elsewhere[i] + spread.unscored[i]);
  const bars = Math.ceil(last / JOINED), heap = (counts, bar) => counts.slice(bar * JOINED, (bar + 1) * JOINED).reduce((a, b) => a + b, 0);
  const most = Math.max(...Array.from({ length: bars }, (_, bar) => heap(total, bar)), 1);
  const x = (at) => (at / last) * WIDE, y = (n) => (n / most) * (HIGH - 8);
  const picture = svg("svg", { viewBox: `0 0 ${WIDE} ${HIGH + FOOT}`, class: "lab-hist", role: "img", "aria-label": `histogram of the scores of ${spread.label}` });
  const kinds = [[spread.here, colour, 1], [spread.elsewhere, ss.colour("--dim"), 0.55], [spread.unscored, ss.colour("--dim"), 0.22]];
  for (let bar = 0; bar < bars; bar += 1) {
    let top = HIGH;
    for (const [counts, fill, opacity] of kinds) {
      const tall = y(heap(counts, bar));
      if (!tall) continue;
      top -= tall;
      picture.append(svg("rect", { x: x(bar * JOINED) + 0.5, width: Math.max(x(JOINED) - 1, 1), y: top, height: tall, fill, opacity }));
    }
  }
  picture.append(svg("line", { x1: 0, x2: WIDE, y1: HIGH, y2: HIGH, stroke: ss.colour("--line") }));
  for (const at of [0, last / 2, last]) picture.append(svg("text", { x: Math.min(Math.max(x(at), 14), WIDE - 14), y: HIGH + 12, "text-anchor": "middle", class: "lab-tick" }, document.createTextNode(spread.edges[Math.round(at)].toFixed(2))));
  const line = svg("line", { y1: 0, y2: HIGH, class: "lab-cut" }), knob = svg("circle", { cy: 6, r: 6, class: "lab-knob" });
  const grip = svg("g", { class: "lab-grip", tabindex: 0, role: "slider", "aria-label": `threshold of ${spread.label}`, "aria-valuemin": spread.edges[0].toFixed(3), "aria-valuemax": spread.edges[last].toFixed(3) },
    svg("rect", { x: -9, width: 18, y: 0, height: HIGH, fill: "transparent" }), line, knob);
  picture.append(grip);
  const move = (to) => {
    edge = Math.min(Math.max(Math.round(to), 0), last);
    grip.setAttribute("transform", `translate(${x(edge)} 0)`);
    grip.setAttribute("aria-valuenow", spread.edges[edge].toFixed(3));
    grip.setAttribute("aria-valuetext", `${spread.edges[edge].toFixed(3)}, ${many(aboveOf(spread, edge).above)} epochs from it on`);
  };
  const drag = (event) => {
    const box = picture.getBoundingClientRect();
    move(((event.clientX - box.left) / box.width) * last);
    changed(edge);
  };
  picture.addEventListener("pointerdown", (event) => { picture.setPointerCapture(event.pointerId); drag(event); grip.focus(); });
  picture.addEventListener("pointermove", (event) => { if (picture.hasPointerCapture(event.pointerId)) drag(event); });
  grip.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10, Home: -last, End: last }[event.key];
    if (!by) return;
    event.preventDefault();
    move(edge + by);
    changed(edge);
  });
  move(edge);
  return { picture, move };
}

/** Counts of labels as one bar with its legend. */
function countBar(labels, counts, rest, about = () => "") {
  const all = counts.reduce((a, b) => a + b, rest) || 1;
  const parts = [...labels.map((label, i) => [label, counts[i], hue(label, i)]), ["no label", rest, ss.colour("--line")]].filter(([, n]) => n);
  return h("div", { className: "lab-counts" },
    h("div", { className: "lab-stack", role: "img", "aria-label": parts.map(([label, n]) => `${label} ${n}`).join(", ") },
      parts.map(([, n, colour]) => h("i", { style: `width:${(100 * n) / all}%;background:${colour}` }))),
    h("p", {}, parts.map(([label, n, colour]) => h("span", { className: "lab-key" }, h("i", { className: "lab-dot", style: `background:${colour}` }), h("b", {}, label), ` ${many(n)} (${Math.round((100 * n) / all)} %) ${about(label)}`))));
}

/** Scored by said: counts, and each row in per cent; a click lists the epochs behind a cell. `apart` is set off. */
function confusionTable(labels, columns, confusion, { f1, support, apart = null, opened = null }) {
  const mark = (label) => (label === apart ? "lab-apart" : "");
  const rows = confusion.slice(0, labels.length).map((row, i) => {
    const all = row.reduce((a, b) => a + b, 0);
    const cells = columns.map((said, j) => {
      const share = all ? row[j] / all : 0, text = [h("b", {}, many(row[j])), h("span", {}, all ? `${Math.round(100 * share)} %` : "–")];
      const shade = `background:color-mix(in srgb, ${labels[i] === said ? "var(--accent)" : "var(--stage-REM)"} ${Math.round(share * 55)}%, transparent)`;
      const label = `scored ${labels[i]}, labelled ${said}: ${row[j]} epochs, ${Math.round(100 * share)} per cent of the row`;
      return h("td", { className: mark(said), style: shade }, opened && row[j]
        ? h("button", { type: "button", "aria-label": label, title: "show some of these epochs", onclick: () => opened(labels[i], said) }, text) : text);
    });
    return h("tr", { className: mark(labels[i]) }, h("th", { scope: "row" }, labels[i]), cells, h("td", { className: "lab-f1" }, figure(f1[labels[i]])), h("td", { className: "lab-f1" }, many(support[labels[i]] ?? 0)));
  });
  return h("table", { className: "lab-confusion" }, h("caption", {}, "scored (rows) by labelled (columns): epochs, and per cent of the row"),
    h("thead", {}, h("tr", {}, h("th", {}, ""), columns.map((label) => h("th", { scope: "col", className: mark(label) }, label)), h("th", { scope: "col" }, "F1"), h("th", { scope: "col" }, "scored"))), h("tbody", {}, rows));
}
