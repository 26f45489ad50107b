// Few-shot: the vote of the nearest examples on every epoch, and its result.
let learned = null, learning = 0, learnToken = null;

/** The tools of learning. */
function drawLearn() {
  const view = ss.view(), k = h("input", { className: "lab-short", value: view.label_k || "5", inputMode: "numeric", title: "how many of the nearest examples vote", onchange: () => ss.go({ label_k: k.value.trim() }, { replace: true }) });
  const apart = h("input", { value: view.label_apart || "", placeholder: "all labels", title: "only these labels, such as spindle, no spindle", onchange: () => ss.go({ label_apart: apart.value.trim() }, { replace: true }) });
  $(".lab-learn").replaceChildren(h("div", { className: "lab-row" }, h("h4", {}, "Learn from the labels"), h("span", { className: "lab-grow" }), field("Tell apart", apart), field("Neighbours", k), button("Label all epochs", learn, { className: "lab-run" })),
    h("p", { className: "lab-dim" }, "Every epoch is labelled by the labelled epochs nearest to it, weighted by distance, other subjects' where it has its own. A share of the vote is no probability. Nothing the scorer wrote is changed."));
}

/** Start a vote and show its result. */
async function learn() {
  const view = ss.view();
  try {
    const started = await ss.ask(server.label_learn({ k: view.label_k, where: view.label_where, labels: (view.label_apart || "").split(",").map((name) => name.trim()).filter(Boolean) }));
    ss.go({ label_learn: started.token });
    await showLearning(started.token);
  } catch (fault) {
    wrong($(".lab-side .lab-work"), fault);
    say("");
  }
}

/** Wait for a vote, then draw it. */
async function showLearning(of) {
  if (of === learnToken) return;
  const round = ++learning, place = $(".lab-side .lab-work");
  learnToken = of;
  try {
    if (!await follow(of, place, () => round === learning)) return;
    const found = await ss.ask(server.label_learned({ token: of }));
    if (round !== learning) return;
    learned = found;
    drawLearned();
    if (ss.view().label_from === "next") await putOnTable(learned.next);
  } catch (fault) {
    if (round === learning) wrong(place, fault);
  }
}

/** The result of a vote. */
function drawLearned() {
  const { labels, agreement, scored } = learned, of = learnToken;
  const left = Object.entries(learned.not_assessable).map(([why, n]) => `${many(n)} ${why.replaceAll("_", " ")}`).join(", ");
  const examples = labels.map((label, i) => `${learned.examples[i]} ${label}`).join(", ");
  const voted = (label, close) => showMoments(`${label}, ${close ? "the closest votes" : "surest first"}`, server.label_voted({ token: of, label, close }), (epoch) => `share of the vote ${figure(epoch.share)}`);
  $(".lab-learned").replaceChildren(h("div", { className: "lab-card" },
    h("h4", {}, `From ${examples}`), h("p", { className: "lab-dim" }, `${learned.subjects} subjects, ${learned.k} neighbours, by ${learned.by}; ${many(learned.epochs)} epochs of ${learned.nights} nights`),
    countBar(labels, learned.counts, learned.unlabelled, (label) => (labels.includes(label) ? `· ${many(learned.unsure[labels.indexOf(label)])} unsure` : "")),
    h("p", { className: "lab-dim" }, `unsure: a share of the vote under 0.6. Not assessable: ${left}.`),
    labels.map((label) => h("div", { className: "lab-row" }, h("b", {}, label), button("surest", () => voted(label, false), { "aria-label": `surest ${label}` }), button("closest votes", () => voted(label, true), { "aria-label": `closest votes for ${label}` }))),
    [agreement, scored].filter(Boolean).map((one) => voteAgreement(one)),
    h("ul", {}, learned.notes.map((note) => h("li", { className: "lab-dim" }, note))),
    h("div", { className: "lab-row" }, button("What to label next", () => { ss.go({ label_from: "next" }); putOnTable(learned.next); }), h("span", { className: "lab-grow" }),
      ["csv", "parquet", "annot"].map((format) => button(format === "annot" ? "annot (Luna)" : format.toUpperCase(), () => saveResult(of, format, ".lab-side .lab-work"), { "aria-label": `export the votes as ${format}` })))));
}

/** How far the vote agrees with the examples or the scorer. */
function voteAgreement(one) {
  const span = one.interval ? ` [${figure(one.interval[0])} – ${figure(one.interval[1])}]` : "";
  return h("div", { className: "lab-vote" }, h("p", {}, h("b", {}, `macro-F1 ${figure(one.macro_f1)}`), span, one.kappa === null ? "" : ` · kappa ${figure(one.kappa)}`, h("span", { className: "lab-dim" }, ` against ${one.against}: ${many(one.epochs)} epochs of ${one.subjects} subjects`)),
    confusionTable(one.labels, one.labels, one.confusion, one));
}
