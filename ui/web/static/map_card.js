// What is said beside the map: the point that was clicked, and what was chosen held against the rest.
const mapCard = (() => {
  const esc = window.sleepsearch.esc, go = window.sleepsearch.go, ask = window.sleepsearch.ask;
  const part = (name) => element.querySelector(`.map-${name}`);
  const percent = (share) => (share === null ? "–" : `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`);
  const short = (value) => Number(value.toPrecision(3));
  const LISTED = 8;

  /** When an epoch was: by the clock where the file has one, and from the start. */
  function when(place) {
    const s = map.start_s[place];
    const since = window.sleepsearch.hms(s);
    return map.clock[place] ? `${map.clock[place]} (${since} from the start)` : `${since} from the start`;
  }

  /** The card of one point. */
  async function show(place) {
    const name = map.names[map.recording[place]], card = part("card");
    const epoch = map.level === "epoch";
    const value = values[place] === null ? "not known" : values[place];
    card.innerHTML = `<h4>${esc(name)}</h4>` +
      (epoch ? `<p>${esc(when(place))} · <b>${esc(map.stage[place] || "no stage")}</b></p>` : "") +
      (painted === "stage" ? "" : `<p class="dim">${esc(groups.says)}: ${esc(value)}</p>`) +
      (epoch ? `<p class="dim">${esc(map.captions[map.caption[place]])} …</p>` : "") +
      "<canvas role=\"img\" hidden></canvas><div class=\"map-acts\"><button type=\"button\" data-act=\"night\">open the night</button>" +
      (epoch ? "<button type=\"button\" data-act=\"words\">in words</button>" : "") +
      "<button type=\"button\" data-act=\"close\" aria-label=\"close this card\">close</button></div>";
    card.hidden = false;
    const at = epoch ? { rec: name, t: map.start_s[place] } : { rec: name, t: null };
    card.onclick = (event) => {
      const act = event.target.dataset.act;
      if (act === "close") card.hidden = true;
      else if (act) go({ room: act, ...at });
    };
    if (epoch) await signals(card, at);
  }

  /** The signals of the epoch on the card, or why there are none. */
  async function signals(card, at) {
    const canvas = card.querySelector("canvas");
    try {
      const strip = await ask(server.map_strip(at));
      if (!canvas.isConnected) return;
      canvas.hidden = false;
      canvas.style.height = `${stripHeight(shownTraces(strip, false).length)}px`;
      canvas.setAttribute("aria-label", stripWords(strip));
      drawStrip(canvas, strip);
    } catch (fault) {
      if (canvas.isConnected) canvas.outerHTML = `<p class="dim">no signals to draw: ${esc(fault.message)}</p>`;
    }
  }

  function clear() {
    part("chosen").innerHTML = "";
    part("card").hidden = true;
  }

  /** What is chosen: how many, of whom, what is more or less frequent in it, and what can be done with it. */
  function tell(found, where) {
    const box = part("chosen"), n = chosen.length, epoch = map.level === "epoch";
    const counted = `<h4>${n.toLocaleString("en")} of ${map.x.length.toLocaleString("en")} ${map.level}s chosen</h4>`;
    const acts = `<div class="map-acts"><button type="button" data-act="search"${where ? "" : " disabled"}>search within` +
      "</button><button type=\"button\" data-act=\"table\">table (CSV)</button>" +
      "<button type=\"button\" data-act=\"clear\">clear</button></div>" +
      (where ? "" : `<p class="dim">${esc(found.unsaid || "")}</p>`);
    box.innerHTML = counted + acts + (epoch ? compared(found) + labelling() : listed());
    box.onclick = (event) => {
      const act = event.target.dataset.act, place = event.target.dataset.place;
      if (act === "search") go({ room: "search", where });
      if (act === "table") table();
      if (act === "clear") go({ map_where: null });
      if (place) attempt(() => show(Number(place)));
    };
    const form = box.querySelector("form");
    if (form) form.addEventListener("submit", (event) => { event.preventDefault(); label(form); });
  }

  function compared(found) {
    const nights = Object.entries(found.nights), most = nights.slice(0, 3).map(([name, n]) => `${esc(name)} ${n}`);
    const rest = nights.length > 3 ? ` and ${nights.length - 3} more` : "";
    const of = `<p class="dim">${nights.length} nights of ${found.subjects} subjects: ${most.join(", ")}${rest}</p>`;
    const row = (r) => `<tr><td>${esc(r.what)}</td><td>${percent(r.share)}</td><td>${percent(r.rest)}</td>` +
      `<td>${r.n.toLocaleString("en")}</td></tr>`;
    const shares = [...found.stages, ...found.events].map(row).join("");
    const first = shares && `<table><tr><th scope="col">share of epochs</th><th scope="col">chosen</th>` +
      `<th scope="col">rest</th><th scope="col" title="chosen epochs that could tell">of</th></tr>${shares}</table>`;
    const measures = found.measures.map((m) => `<tr title="${esc(m.definition)}"><td>${esc(m.measure)}</td>` +
      `<td>${short(m.mean)}</td><td>${short(m.rest)}</td><td>${m.apart > 0 ? "+" : "−"}${Math.abs(m.apart).toFixed(1)}` +
      "</td></tr>").join("");
    const second = measures && `<table><tr><th scope="col">differs most</th><th scope="col">chosen</th>` +
      `<th scope="col">rest</th><th scope="col" title="difference in standard deviations">SD</th></tr>${measures}</table>`;
    return of + first + second + listed();
  }

  /** The chosen points nearest to their middle, as buttons: what a mouse finds by clicking. */
  function listed() {
    const mean = (axis) => chosen.reduce((sum, p) => sum + axis[p], 0) / chosen.length;
    const [x, y] = [mean(map.x), mean(map.y)];
    const near = [...chosen].sort((a, b) => Math.hypot(map.x[a] - x, map.y[a] - y) - Math.hypot(map.x[b] - x, map.y[b] - y));
    const buttons = near.slice(0, LISTED).map((p) => `<button type="button" data-place="${p}">` +
      `${esc(map.names[map.recording[p]])}${map.level === "epoch" ? ` ${clockOf(p)}` : ""}</button>`);
    return `<p class="dim">nearest to the middle</p><div class="map-acts">${buttons.join("")}</div>`;
  }

  function clockOf(place) {
    return map.clock[place] || `${Math.round(map.start_s[place])} s`;
  }

  function labelling() {
    return "<form class=\"map-label\"><input name=\"label\" placeholder=\"label\" aria-label=\"label for these epochs\" required>" +
      "<input name=\"author\" placeholder=\"your name\" aria-label=\"author of the label\" required>" +
      `<button type="submit">label these ${chosen.length}</button><span class="map-labelled dim" aria-live="polite"></span></form>`;
  }

  async function label(form) {
    const out = form.querySelector(".map-labelled"), send = form.querySelector("button");
    send.disabled = true;
    out.textContent = "writing …";
    try {
      const said = { label: form.elements.label.value, author: form.elements.author.value };
      const found = await ask(server.map_label({ key: map.key, chosen, ...said }));
      const stood = found.stood ? `, ${found.stood} stood already` : "";
      out.textContent = `${found.epochs} epochs in ${found.written} stretches written${stood}`;
    } catch (fault) {
      out.textContent = fault.message;
    }
    send.disabled = false;
  }

  /** The chosen points as a CSV file. */
  function table() {
    const epoch = map.level === "epoch", says = painted === "stage" ? [] : [groups.says];
    const head = epoch ? ["recording", "start_s", "stop_s", "clock", "stage", "x", "y", ...says] : ["recording", "x", "y", ...says];
    const rows = chosen.map((p) => [
      map.names[map.recording[p]], ...(epoch ? [map.start_s[p], map.stop_s[p], map.clock[p], map.stage[p]] : []),
      map.x[p], map.y[p], ...(says.length ? [values[p]] : []),
    ]);
    window.sleepsearch.download("chosen-on-the-map.csv", { text: window.sleepsearch.csv([head, ...rows]) });
  }

  return { when, show, clear, tell };
})();
