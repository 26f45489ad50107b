// Few-shot: epochs on the table, buttons of labels, and the list of what people said.
const AUTHOR = "sleepsearch-author", LISTENS_MS = 10_000, KEYS = 9;
let table = [], standing = null, gathering = 0, gatheredFrom = null, mine = [], listOf = "", writing = Promise.resolve();

/** Whoever labels here; remembered by this browser. */
function author() {
  return (localStorage.getItem(AUTHOR) || "").trim();
}

/** The labels that have a button: those of the address, then those that stand. */
function names() {
  const own = (ss.view().label_names || "").split("|").filter(Boolean);
  const there = standing ? standing.counts.map((one) => one.label) : [];
  return [...new Set([...own, ...there])];
}

/** The tools above the epochs. */
function drawGather() {
  const view = ss.view(), how = view.label_from || "random";
  const who = h("input", { value: author(), placeholder: "your name", "aria-label": "author", required: true, autocomplete: "name", onchange: () => { localStorage.setItem(AUTHOR, who.value.trim()); who.classList.toggle("lab-missing", !who.value.trim()); drawList(); } });
  const added = h("input", { placeholder: "a new label, such as spindle", "aria-label": "new label" });
  const add = (event) => { event.preventDefault(); const name = added.value.trim(); if (!name) return; ss.go({ label_names: [...new Set([...(view.label_names || "").split("|").filter(Boolean), name])].join("|") }, { replace: true }); drawGather(); drawTable(); $(".lab-gather .lab-new input").focus(); };
  const chips = names().map((name, i) => h("span", { className: "lab-chip" }, h("kbd", {}, i < KEYS ? i + 1 : ""), h("i", { className: "lab-dot", style: `background:${hue(name, i)}` }), name));
  const from = h("select", { "aria-label": "which epochs", onchange: () => { ss.go({ label_from: from.value, label_seed: null }, { replace: true }); drawGather(); } },
    h("option", { value: "random" }, "at random"), h("option", { value: "question" }, "found by a question"), h("option", { value: "next" }, "what to label next"), h("option", { value: "place" }, "around the open night's moment"));
  from.value = how;
  const question = h("input", { className: "lab-wide", value: view.label_q || "", placeholder: "such as sleep spindles in N2", "aria-label": "question", onkeydown: (event) => { if (event.key === "Enter") show(); } });
  const show = () => { ss.go({ label_q: question.value.trim() || null, label_seed: how === "random" ? Number(view.label_seed || 0) + (table.length ? 1 : 0) : null }); gather(true); };
  $(".lab-gather").replaceChildren(
    h("div", { className: "lab-row" }, field("Author", who), h("form", { className: "lab-field lab-new", onsubmit: add }, h("span", {}, "Labels"), chips, added, h("button", { type: "submit" }, "+ label"))),
    h("div", { className: "lab-row" }, field("Epochs", from), how === "question" ? field("Question", question) : "",
      button(how === "next" ? "Ask what to label next" : table.length ? "Other epochs" : "Show epochs", show, { className: "lab-run lab-show" }),
      button("Undo", undoLast, { title: "withdraw your last label (U); the log keeps everything" }),
      h("label", {}, h("input", { type: "checkbox", checked: view.label_seen === "1", onchange: (event) => { ss.go({ label_seen: event.target.checked ? 1 : null }, { replace: true }); drawTable(); } }), " show the scorer's stage")),
    h("p", { className: "lab-dim" }, "Keys on an epoch: 1–9 give a label, arrows go to the next, U undoes, Enter opens the night."));
}

/** Fetch the epochs that the address asks for. */
async function gather(again = false) {
  const view = ss.view(), how = view.label_from || "random", key = JSON.stringify([how, view.label_q, view.label_seed, view.label_where, how === "place" ? [view.rec, view.t] : 0]);
  if (key === gatheredFrom && !again) return;
  gatheredFrom = key;
  if (how === "next") { if (again) learn(); else if (learned) putOnTable(learned.next); return; }
  const round = ++gathering;
  say("looking for epochs …");
  try {
    const epochs = await ss.ask(server.label_gather({ how, q: view.label_q, seed: view.label_seed, where: view.label_where, rec: view.rec, t: view.t }));
    if (round === gathering) await putOnTable(epochs);
  } catch (fault) {
    if (round === gathering) { await putOnTable([]); say(fault.message, true); }
  }
}

/** Lay epochs on the table, with what people said of them. */
async function putOnTable(epochs) {
  table = epochs;
  drawGather();
  drawTable();
  await listen();
  say(epochs.length ? `${epochs.length} epochs` : "no epoch");
}

/** One line above the epochs. */
function say(text, bad = false) {
  $(".lab-said").textContent = text;
  $(".lab-said").classList.toggle("lab-wrong", bad);
}

/** Ask which labels stand, of everybody, and show them. */
async function listen() {
  const shown = table.map(({ recording, start_s, stop_s }) => [recording, start_s, stop_s]);
  const heard = await ss.ask(server.label_standing({ shown }));
  const before = JSON.stringify(names());
  standing = heard;
  if (JSON.stringify(names()) !== before) { drawGather(); drawTable(); }
  drawList();
  for (const [i, card] of [...element.querySelectorAll(".lab-table > article")].entries()) card.querySelector(".lab-on").replaceChildren(...said(i));
}

/** What people said of an epoch on the table. */
function said(i) {
  return (standing?.on[i] || []).map((one) => h("span", { className: "lab-chip" }, h("i", { className: "lab-dot", style: `background:${hue(one.label, names().indexOf(one.label))}` }), h("b", {}, one.label), ` by ${one.author} `,
    one.author === author() ? button("×", () => withdraw(one.id), { "aria-label": `withdraw ${one.label}` }) : ""));
}

/** The epochs with their buttons. */
function drawTable() {
  const seenToo = ss.view().label_seen === "1", all = names();
  $(".lab-table").replaceChildren(...table.map((epoch, i) => {
    const stage = seenToo ? ` · scored ${epoch.stage ?? "nothing"}${epoch.stage_source ? ` by ${epoch.stage_source}` : ""}` : "";
    const guess = epoch.margin === undefined ? "" : ` · perhaps ${epoch.label}, margin ${figure(epoch.margin)}`;
    return h("article", { className: "lab-card", role: "listitem", tabIndex: 0, "aria-label": `epoch ${i + 1}: ${epoch.recording} at ${clockOf(epoch.start_s)}`, onkeydown: (event) => keys(event, i) },
      h("p", {}, moment(epoch), h("span", { className: "lab-dim" }, stage + guess)), stripOf(epoch),
      h("div", { className: "lab-buttons" }, all.map((name, n) => button([h("kbd", {}, n < KEYS ? n + 1 : ""), name], () => write(i, name), { style: `border-color:${hue(name, n)}` })), all.length ? "" : h("span", { className: "lab-dim" }, "add a label above")),
      h("div", { className: "lab-on" }, said(i)));
  }));
}

/** Keys on an epoch. */
function keys(event, i) {
  if (event.target.tagName === "INPUT" || event.ctrlKey || event.metaKey || event.altKey) return;
  const cards = element.querySelectorAll(".lab-table > article"), number = Number(event.key);
  const to = { ArrowRight: i + 1, ArrowDown: i + 1, ArrowLeft: i - 1, ArrowUp: i - 1 }[event.key];
  if (number >= 1 && names()[number - 1]) {
    write(i, names()[number - 1]);
    if (author()) cards[i + 1]?.focus(); // at once: whoever labels by keys does not wait
  }
  else if (to !== undefined && cards[to]) cards[to].focus();
  else if (event.key.toLowerCase() === "u") undoLast();
  else if (event.key === "Enter" && event.target === cards[i]) ss.go({ room: "night", rec: table[i].recording, t: table[i].start_s });
  else return;
  event.preventDefault();
}

/** Give an epoch a label in the author's name. */
async function write(i, label) {
  const epoch = table[i], who = $("[aria-label=author]");
  if (!author()) { who.classList.add("lab-missing"); who.focus(); say("Say who you are first: a label has an author.", true); return; }
  const said = { rec: epoch.recording, start_s: epoch.start_s, stop_s: epoch.stop_s, label, author: author() };
  const sent = writing.then(() => ss.ask(server.label_write(said))); // one after the other: Undo takes back the last that was given
  writing = sent.catch(() => {});
  try {
    const entry = await sent;
    if (entry.new) mine.push(entry.id);
    await listen();
    say(entry.new ? `${label}: ${epoch.recording} at ${clockOf(epoch.start_s)}, by ${author()}` : `you said so already: ${label}`);
  } catch (fault) {
    say(fault.message, true);
  }
}

/** Withdraw the author's last label of this visit. */
async function undoLast() {
  if (mine.length) await withdraw(mine.pop());
  else say("nothing of yours to undo in this visit; the list has a button for each of your labels");
}

/** Withdraw a label; the log keeps it. */
async function withdraw(id) {
  try {
    const gone = await ss.ask(server.label_undo({ id, author: author() }));
    mine = mine.filter((one) => one !== id);
    await listen();
    say(`withdrawn: ${gone.label} of ${gone.recording}; the log keeps it`);
  } catch (fault) {
    say(fault.message, true);
  }
}

/** The labels that stand, newest first. */
function drawList() {
  if (!standing) return;
  const rows = standing.labels.filter((one) => !listOf || one.author === listOf);
  const authors = [...new Set(standing.counts.map((one) => one.author))];
  const whose = h("select", { "aria-label": "whose labels", onchange: () => { listOf = whose.value; drawList(); } }, h("option", { value: "" }, "everybody"), authors.map((name) => h("option", { value: name }, name)));
  whose.value = listOf;
  $(".lab-list").replaceChildren(
    h("div", { className: "lab-row" }, h("h4", {}, `${many(standing.total)} labels stand`), h("span", { className: "lab-grow" }), whose),
    h("p", {}, standing.counts.filter((one) => !listOf || one.author === listOf).map((one) => h("span", { className: "lab-chip" }, h("b", {}, one.label), ` ${one.n} by ${one.author}`))),
    h("div", { className: "lab-row" }, button("Import CSV", () => tableFile.click(), { title: "recording,start_s[,stop_s],label[,author]" }), button("Export CSV", takeAll)),
    h("div", { className: "lab-scroll", tabIndex: 0, "aria-label": "labels" }, h("table", {}, h("tbody", {}, rows.map((one) => h("tr", {}, h("td", {}, h("b", {}, one.label)), h("td", {}, moment(one)), h("td", { className: "lab-dim", title: one.time }, `${one.author}, ${one.time.slice(5, 16).replace("T", " ")}`),
      h("td", {}, one.author === author() ? button("undo", () => withdraw(one.id), { "aria-label": `undo ${one.label} of ${one.recording} at ${clockOf(one.start_s)}` }) : "")))))),
    rows.length < standing.total && !listOf ? h("p", { className: "lab-dim" }, `the newest ${rows.length}; the CSV holds all`) : "");
}

const tableFile = h("input", { type: "file", accept: ".csv,text/csv", hidden: true, "aria-label": "CSV of labels", onchange: () => bring(tableFile.files[0]) });
element.querySelector(".lab-side").append(tableFile);

/** Read a table of labels in. */
async function bring(file) {
  if (!file) return;
  try {
    const report = await ss.ask(server.label_bring({ text: await file.text(), author: author() }));
    await listen();
    tableFile.value = "";
    say(`${report.added} labels written, ${report.stood} stood already`);
  } catch (fault) {
    say(fault.message, true);
  }
}

/** All labels as a file. */
async function takeAll() {
  try {
    const file = await ss.ask(server.label_take({}));
    ss.download(file.name, file);
  } catch (fault) {
    say(fault.message, true);
  }
}
