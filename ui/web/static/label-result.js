// Zero-shot: options, the run, and its result.
let result = null, running = 0, ranWith = null, token = null;

/** The options of a run; each stands in the address. */
function drawOptions(view) {
  const put = (key) => (event) => { ss.go({ [key]: event.target.type === "checkbox" ? (event.target.checked ? 1 : null) : event.target.value.trim() }, { replace: true }); stale(); };
  const enter = (event) => { if (event.key === "Enter") { event.target.blur(); run(); } };
  const scorer = h("select", { onchange: put("label_scorer") }, h("option", { value: "" }, "people"), known.scorers.map((name) => h("option", { value: name }, name)));
  scorer.value = view.label_scorer || "";
  $(".lab-options").replaceChildren(h("div", { className: "lab-row" },
    button("Run", run, { className: "lab-run", title: "Ctrl+Enter in a prompt does the same" }),
    h("label", {}, h("input", { type: "checkbox", checked: view.label_smooth === "1", onchange: put("label_smooth") }), " smooth over the night"),
    h("label", {}, h("input", { type: "checkbox", checked: view.label_calibrated === "1", onchange: put("label_calibrated") }), " calibrate on other subjects' labels"),
    field("No label below", h("input", { className: "lab-short", value: view.label_abstain || "", placeholder: "off", title: "the least margin; calibrated: the least probability", inputMode: "decimal", onchange: put("label_abstain"), onkeydown: enter })),
    field("Compare with", scorer),
    field("Only epochs where (SQL)", h("input", { className: "lab-wide", value: view.label_where || "", placeholder: "all epochs, such as age > 60", spellcheck: false, onchange: put("label_where"), onkeydown: enter }))));
}

/** What a run would be asked now. */
function wanted() {
  const view = ss.view();
  return { task, where: view.label_where, smooth: view.label_smooth === "1", calibrated: view.label_calibrated === "1", abstain: view.label_abstain, scorer: view.label_scorer };
}

/** Start a run and show its result; an older one that still runs is left behind. */
async function run() {
  document.activeElement?.blur?.();
  await check();
  if (refused) return;
  const place = $(".lab-prompts .lab-work"), given = wanted();
  try {
    const started = await ss.ask(server.label_run(given));
    ss.go({ label_job: started.token, label_cuts: null });
    await showRun(started.token, JSON.stringify(given));
  } catch (fault) {
    wrong(place, fault);
  }
}

/** Wait for a run, then draw it. */
async function showRun(of, given) {
  if (of === token) return;
  const mine = ++running, place = $(".lab-prompts .lab-work");
  [token, ranWith] = [of, given];
  try {
    if (!await follow(of, place, () => mine === running)) return;
    const found = await ss.ask(server.label_result({ token: of }));
    if (mine !== running) return;
    result = found;
    drawResult();
  } catch (fault) {
    if (mine === running) wrong(place, fault);
  }
}

/** Say that the figures below are of other prompts or options than those above. */
function stale() {
  const mark = $(".lab-stale");
  if (mark) mark.hidden = ranWith === null || JSON.stringify(wanted()) === ranWith;
}

/** The edges that the address names: `label:number` joined by `|`. */
function cuts() {
  const said = (ss.view().label_cuts || "").split("|").filter(Boolean).map((text) => text.split(":"));
  return Object.fromEntries(said.map(([label, edge]) => [decodeURIComponent(label), Number(edge)]));
}

/** The result of a run. */
function drawResult() {
  const { agreement, spreads } = result, chosen = cuts();
  const tags = [[result.calibrated ? "calibrated" : "uncalibrated", result.calibrated ? "probabilities fitted on other subjects" : "scores are similarities, no probabilities"],
    [result.smoothing ? "smoothed" : "not smoothed", result.smoothing || "each epoch by itself"], ...(result.notes.includes("simulated nights") ? [["simulated", "the nights are simulated"]] : [])];
  const left = Object.entries(result.not_assessable).map(([why, n]) => `${many(n)} ${why.replaceAll("_", " ")}`).join(", ");
  $(".lab-result").replaceChildren(
    h("p", { className: "lab-stale", hidden: true }, "The figures below are of the prompts and options before your last change."),
    h("div", { className: "lab-card" },
      h("div", { className: "lab-row" }, h("h3", {}, result.says), h("span", {}, `${many(result.epochs)} epochs of ${many(result.nights)} nights`), tags.map(([text, title]) => h("span", { className: `lab-tag lab-${text.split(" ")[0]}`, title }, text)),
        h("span", { className: "lab-grow" }), ["csv", "parquet", "annot"].map((format) => button(format === "annot" ? "annot (Luna)" : format.toUpperCase(), () => saveResult(token, format, ".lab-prompts .lab-work"), { "aria-label": `export the labels as ${format}` }))),
      countBar(result.labels, result.counts, result.unlabelled),
      h("p", { className: "lab-dim" }, `Not assessable: ${left}.`),
      h("details", { open: true }, h("summary", {}, "Notes"), h("ul", {}, result.notes.map((note) => h("li", {}, note))))),
    h("div", { className: "lab-grid" },
      h("div", { className: "lab-card lab-agree" }, agreement ? agreementOf(agreement) : h("p", {}, "No agreement: ", result.notes[result.notes.length - 1] || "nobody scored this.")),
      spreads.map((spread) => histogramCard(spread, chosen[spread.label] ?? spread.start))));
  stale();
}

/** Agreement with the scorer: figures, then who was taken for whom. */
function agreementOf(agreement) {
  const within = (name) => (agreement.interval[name][0] === null ? "" : ` [${figure(agreement.interval[name][0])} – ${figure(agreement.interval[name][1])}]`);
  const rest = agreement.apart ? `${agreement.apart} apart: F1 ${figure(agreement.f1[agreement.apart])}; macro-F1 of the others ${figure(agreement.macro_f1_rest)}` : "";
  const opened = (scored, label) => showMoments(`scored ${scored}, labelled ${label}`, server.label_cell({ token, scored, label }), (epoch) => `score ${figure(epoch.score, 3)}`);
  return [confusionTable(result.labels, result.labels, agreement.confusion, { ...agreement, opened }),
    h("div", { className: "lab-figures" }, h("h4", {}, `Against the scorer: ${agreement.scorer}`),
      h("p", {}, h("b", {}, `macro-F1 ${figure(agreement.macro_f1)}`), within("macro_f1"), h("br"), h("b", {}, `kappa ${figure(agreement.kappa)}`), within("kappa")),
      h("p", { className: "lab-dim" }, `95 % intervals by subject (${agreement.interval.subjects})${agreement.interval.note ? `: ${agreement.interval.note}` : ""}`), rest ? h("p", {}, rest) : "",
      h("p", { className: "lab-dim" }, "Click a cell to see some of its epochs."))];
}

/** One label's histogram, its threshold, and what the threshold would give. */
function histogramCard(spread, edge) {
  const colour = hue(spread.label, result.labels.indexOf(spread.label)), said = h("p", { className: "lab-numbers", "aria-live": "polite" });
  const tell = (at) => {
    const { above, scored, precision, recall, f1 } = aboveOf(spread, at), of = spread.here.reduce((a, b, i) => a + b + spread.elsewhere[i] + spread.unscored[i], 0);
    said.replaceChildren(h("b", {}, `≥ ${spread.edges[at].toFixed(3)}: ${many(above)}`), ` of ${many(of)} epochs`, h("br"),
      scored ? h("span", {}, `precision ${figure(precision)} · recall ${figure(recall)} · F1 ${figure(f1)}`) : h("span", { className: "lab-dim" }, "nobody scored this label here"));
  };
  const changed = (at) => {
    edge = at;
    tell(at);
    const all = { ...cuts(), [spread.label]: at };
    ss.go({ label_cuts: Object.entries(all).map(([label, n]) => `${encodeURIComponent(label)}:${n}`).join("|") }, { replace: true });
  };
  const { picture, move } = histogram(spread, colour, edge, changed), scored = spread.here.some(Boolean);
  const to = (at) => { move(at); changed(at); };
  tell(edge);
  return h("div", { className: "lab-card lab-spread", "data-label": spread.label }, h("h4", {}, h("i", { className: "lab-dot", style: `background:${colour}` }), spread.label, h("span", { className: "lab-dim" }, ` ${spread.of}`)), picture,
    h("p", { className: "lab-legend" }, h("span", {}, h("i", { className: "lab-dot", style: `background:${colour}` }), `scored ${spread.label}`), h("span", {}, h("i", { className: "lab-dot lab-else" }), "scored otherwise"), h("span", {}, h("i", { className: "lab-dot lab-none" }), "not scored")),
    said, h("div", { className: "lab-row" }, button("where it parts", () => to(spread.start), { title: "where the labels part, or the scores part best into two groups" }),
      scored ? button("best F1", () => to(bestEdge(spread)), { title: "fitted on these very nights: it flatters; calibrate to be fair" }) : "",
      button("epochs here", () => showMoments(`${spread.label} about ${spread.edges[edge].toFixed(3)}`, server.label_near({ token, label: spread.label, threshold: spread.edges[edge] }), (epoch) => `score ${figure(epoch.score, 3)} · labelled ${epoch.label ?? "–"} · scored ${epoch.scored ?? "not"}`))));
}

/** The labels of every epoch as a file. */
async function saveResult(of, format, place) {
  try {
    const file = await ss.ask(server.label_save({ token: of, format }));
    ss.download(file.name, file);
  } catch (fault) {
    wrong($(place), fault);
  }
}
