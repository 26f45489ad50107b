// The room: what stands in the address is asked, and what comes back is shown.
const S = window.sleepsearch, esc = S.esc;
const part = (selector) => element.querySelector(selector);
const box = part("#se-q"), where = part("#se-where"), count = part("#se-k"), exact = part("#se-exact"), list = part(".se-hits");
const wrongSql = part("#se-sql-wrong"), status = part(".se-status");
const NUMBER = /(?<![\w.])\d+(?:\.\d+)?/g; // the 88 of `SpO2 below 88 %`, not the 2
let asked = null, answer = null, turn = 0, at = -1;
const strips = stripsOf(list, (hit, best) => S.ask(server.search_strip({ rec: hit.recording, start_s: hit.start_s, stop_s: hit.stop_s, best_s: best })), () => part(".se-all").checked);

/** What the address asks, in one shape. */
function askedBy(view) {
  const split = (text) => (text ? text.split("|").filter(Boolean) : []);
  return { q: view.q || "", where: view.where || "", level: view.level || "epoch", k: view.k || "10", exact: view.exact === "1", without: split(view.without), like: view.like || "" };
}

/** Put what the address says into the form. */
function fill(view) {
  if (document.activeElement !== box || !box.value) box.value = view.q;
  where.value = view.where;
  count.value = view.k;
  exact.checked = view.exact;
  part(`[name=se-level][value="${view.level === "night" ? "night" : "epoch"}"]`).checked = true;
}

/** Ask the server, unless that is what is shown already. */
async function show(view, again = false) {
  if ((view.room || "search") !== "search") return;
  const now = askedBy(view);
  if (!again && asked && JSON.stringify(now) === JSON.stringify(asked)) return;
  asked = now;
  fill(now);
  const mine = ++turn;
  wrongSql.hidden = true;
  where.removeAttribute("aria-invalid");
  part(".se-tools").hidden = true;
  if (!now.q && !now.like) { await nothingAsked(now, mine); return; }
  element.classList.add("se-busy");
  list.setAttribute("aria-busy", "true");
  status.textContent = "searching …";
  try {
    const found = await S.ask(server.search_ask(now));
    if (mine !== turn) return;
    if (found.wrong_sql) { sqlIsWrong(found.wrong_sql); return; }
    answer = found;
    drawAnswer();
  } catch (fault) {
    if (mine !== turn) return;
    // What was found stays to be read while the server is away.
    if (document.getElementById("lost").hidden) empty(`<p class="ss-wrong" role="alert">${esc(fault.message)}</p>`);
    else status.textContent = fault.message;
  } finally {
    if (mine === turn) { element.classList.remove("se-busy"); list.setAttribute("aria-busy", "false"); }
  }
}

/** Nothing but this text where the answer would be. */
function empty(html) {
  answer = null;
  strips.clear();
  list.innerHTML = "";
  part(".se-read").innerHTML = part(".se-notes").innerHTML = status.textContent = "";
  part(".se-first").innerHTML = html;
  part(".se-help").hidden = Boolean(asked && (asked.q || asked.like));
}

/** A wrong filter is said beneath its box; the answer that stood goes away. */
function sqlIsWrong(line) {
  empty("");
  wrongSql.textContent = line;
  wrongSql.hidden = false;
  where.setAttribute("aria-invalid", "true");
}

/** Before a question: examples of this cohort, or how many epochs a filter alone leaves. */
async function nothingAsked(now, mine) {
  empty('<p class="se-dim">looking for questions that this cohort can answer …</p>');
  try {
    const left = now.where ? await S.ask(server.search_matching({ where: now.where })) : null;
    const first = await S.ask(server.search_examples({}));
    if (mine !== turn) return;
    if (left && left.wrong_sql) { sqlIsWrong(left.wrong_sql); return; }
    const filter = left ? `<p><b>${left.epochs.toLocaleString("en")}</b> epochs match the SQL. Ask something of them:</p>` : '<p class="se-dim">This cohort can answer, for example</p>';
    empty(`${filter}<ul class="se-examples">${first.map((e) => `<li><button type="button" data-level="${esc(e.level)}">${esc(e.words)}</button></li>`).join("")}</ul>`);
  } catch (fault) {
    if (mine === turn) empty(`<p class="ss-wrong" role="alert">${esc(fault.message)}</p>`);
  }
}

// ---- what was read

/** A chip with its number as a field, where that number stands in the question itself. */
function chipWords(piece) {
  const numbers = piece.words.match(NUMBER) || [];
  const there = asked.q.toLowerCase().split(piece.words.toLowerCase()).length === 2;
  if (numbers.length !== 1 || !there) return esc(piece.words);
  const [before, after] = piece.words.split(NUMBER);
  return `${esc(before)}<input type="number" step="any" value="${esc(numbers[0])}" data-words="${esc(piece.words)}" aria-label="number in ${esc(piece.words)}" style="width: ${numbers[0].length + 3.2}ch">${esc(after)}`;
}

/** The chips: filters that can be taken away and given back, facts, and the words that are compared. */
function drawRead() {
  const { read } = answer, chips = [];
  if (asked.like) {
    chips.push(`<span class="se-chip se-like">like <b>${esc(asked.like)}</b><button type="button" data-unlike aria-label="no longer like ${esc(asked.like)}">×</button></span>`);
  }
  for (const piece of read ? read.filters : []) {
    const title = `${piece.sql}${piece.says ? ` · ${piece.says}` : ""}`;
    chips.push(piece.taken
      ? `<span class="se-chip se-gone" title="${esc(title)}"><s>${esc(piece.words)}</s><button type="button" data-back="${esc(piece.words)}" aria-label="filter by ${esc(piece.words)} again">+</button></span>`
      : `<span class="se-chip" title="${esc(title)}">${chipWords(piece)}<button type="button" data-away="${esc(piece.words)}" aria-label="take away ${esc(piece.words)}">×</button></span>`);
  }
  for (const fact of read ? read.facts : []) chips.push(`<span class="se-chip se-fact" title="must be there: ${esc(fact.says)}">${esc(fact.words)}</span>`);
  if (read && read.embedded) chips.push(`<span class="se-words" title="these words are compared with captions and signals">meaning of “${esc(read.embedded)}”</span>`);
  part(".se-read").innerHTML = chips.join("");
}

/** How many hits among how many, what could not be judged and why, and how long it took. */
function answerLine() {
  const unit = answer.nights ? "nights" : "epochs", left = answer.not_assessable;
  const named = { sensor: "sensor absent", not_scored: "not scored", quality: "bad signal" };
  const reasons = Object.entries(left).filter(([, n]) => n).map(([why, n]) => `${n.toLocaleString("en")} ${named[why]}`);
  const total = Object.values(left).reduce((sum, n) => sum + n, 0);
  const out = total ? ` · <span class="se-out"><b>${total.toLocaleString("en")}</b> not assessable (${reasons.join(", ")})</span>` : "";
  const hits = answer.hits.length;
  return `<b>${hits}</b> ${hits === 1 ? "hit" : "hits"} among <b>${answer.searched.toLocaleString("en")}</b> ${unit} searched${out} · <span title="${esc(answer.engine)}">${Math.round(answer.ms.total)} ms</span>`;
}

function drawAnswer() {
  drawRead();
  status.innerHTML = answerLine();
  part(".se-notes").innerHTML = answer.notes.map((note) => `<li${note.includes("not read") ? ' class="se-unread"' : ""}>${esc(note)}</li>`).join("");
  part(".se-first").innerHTML = "";
  part(".se-help").hidden = true;
  strips.clear();
  list.innerHTML = answer.hits.map((hit, i) => cardHtml(hit, i + 1, answer, asked)).join("");
  at = -1;
  [...list.children].forEach((card, i) => { card.hit = answer.hits[i]; if (!answer.nights) strips.watch(card); });
  part(".se-tools").hidden = !answer.hits.length;
  part(".se-tools label").hidden = answer.nights;
  // The verb that writes annotations asks the question anew, without what can be taken away by hand.
  part("[data-export=annot]").hidden = answer.nights || Boolean(asked.like) || asked.without.length > 0;
  if (!answer.hits.length) nothingFound(turn);
}

/** Why there is nothing, and what would change it. */
async function nothingFound(mine) {
  const total = Object.values(answer.not_assessable).reduce((sum, n) => sum + n, 0);
  const said = [];
  if (!answer.searched && total) said.push("No part of this cohort can answer: the sensor or the scoring that the question needs is not there.");
  else if (answer.searched) said.push(`${answer.searched.toLocaleString("en")} ${answer.nights ? "nights" : "epochs"} could answer, and none is so.`);
  else said.push(asked.where ? "The SQL leaves nothing to search." : "There is nothing to search.");
  part(".se-first").innerHTML = `<div class="se-nothing"><h3>No hits</h3><p>${said.join(" ")}</p><p class="se-dim">looking for what would have some …</p></div>`;
  const ways = asked.like ? [] : await S.ask(server.search_instead(asked)).catch(() => []);
  if (mine !== turn) return;
  const buttons = ways.map((way) => (way.where ? '<li><button type="button" data-nowhere>without the SQL</button></li>' : `<li><button type="button" data-away="${esc(way.without)}">without “${esc(way.without)}”</button></li>`));
  part(".se-nothing .se-dim").outerHTML = buttons.length ? `<p>There are hits</p><ul class="se-examples">${buttons.join("")}</ul>` : '<p class="se-dim">Say it in other words, or with fewer conditions.</p>';
}

// ---- what people do

part(".se-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const q = box.value.trim(), kept = asked ? asked.without.filter((words) => q.toLowerCase().includes(words.toLowerCase())) : [];
  const changed = q !== (asked ? asked.q : "");
  S.go({ room: "search", q, where: where.value.trim(), without: kept.join("|"), like: changed ? null : S.view().like });
  if (!changed) show(S.view(), true);
});
element.addEventListener("change", (event) => {
  const to = event.target;
  if (to.name === "se-level") S.go({ level: to.value === "night" ? "night" : null, q: box.value.trim(), like: null });
  else if (to === count) S.go({ k: count.value === "10" ? null : count.value });
  else if (to === exact) S.go({ exact: exact.checked ? 1 : null });
  else if (to.classList.contains("se-all")) strips.all();
  else if (to.dataset.words && to.value !== "") {
    const old = to.dataset.words, place = asked.q.toLowerCase().indexOf(old.toLowerCase());
    const q = asked.q.slice(0, place) + old.replace(NUMBER, to.value) + asked.q.slice(place + old.length);
    box.value = q;
    S.go({ q });
  }
});
element.addEventListener("click", (event) => {
  const button = event.target.closest("button, a[data-do]");
  if (!button || !element.contains(button)) return;
  const { away, back, level, unlike, nowhere } = button.dataset, card = button.closest(".se-card");
  if (away) S.go({ without: [...asked.without, away].join("|") });
  else if (back) S.go({ without: asked.without.filter((words) => words.toLowerCase() !== back.toLowerCase()).join("|") });
  else if (level) { box.value = button.textContent; S.go({ q: button.textContent, level: level === "night" ? level : null, without: null }); }
  else if (unlike !== undefined) S.go({ like: null });
  else if (nowhere !== undefined) S.go({ where: null });
  else if (button.dataset.export) save(button);
  else if (card && !(event.ctrlKey || event.metaKey)) { event.preventDefault(); act(card, button.dataset.do, button); }
});

/** What the buttons of a card do. */
async function act(card, what, button) {
  const { recording: rec, start_s: t } = card.hit, moment = answer.nights ? { rec } : { rec, t };
  if (what === "night") S.go({ room: "night", ...moment, t: answer.nights ? null : t });
  else if (what === "words") S.go({ room: "words", ...moment, t: answer.nights ? null : t });
  else if (what === "like") { S.go({ like: answer.nights ? rec : `${rec}@${t}`, without: null }); scrollTo({ top: 0 }); }
  else if (what === "where") {
    button.disabled = true;
    strips.mark(card, { note: "looking where in it …" });
    try {
      const found = await S.ask(server.search_where_in({ q: asked.q, rec, start_s: t, stop_s: card.hit.stop_s }));
      const seconds = found.from_s === null ? "" : `, ${hms(found.from_s)}–${hms(found.to_s)}`;
      strips.mark(card, { mark: found, note: `carried by ${found.sensor}${seconds}; the words fit here ${Math.abs(found.z).toFixed(1)} standard deviations ${found.z < 0 ? "worse" : "better"} than in this night's mean epoch` });
    } catch (fault) {
      strips.mark(card, { note: fault.message });
    }
    button.disabled = false;
  }
}

/** Save the hits as a file. */
async function save(button) {
  button.disabled = true;
  try {
    const file = await S.ask(server.search_export({ ...asked, format: button.dataset.export }));
    S.download(file.name, file);
  } catch (fault) {
    status.textContent = fault.message;
  }
  button.disabled = false;
}

/** Bring card number `to` under the keys. */
function focusCard(to) {
  if (!list.children.length) return;
  at = Math.max(0, Math.min(to, list.children.length - 1));
  list.children[at].focus({ preventScroll: true });
  list.children[at].scrollIntoView({ block: "nearest", behavior: "smooth" });
}
list.addEventListener("focusin", (event) => { at = [...list.children].indexOf(event.target.closest(".se-card")); });
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, textarea, select, [contenteditable=true]");
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "/" && !typing) { event.preventDefault(); S.go({ room: "search" }); setTimeout(() => { box.focus(); box.select(); }, 30); return; }
  if ((S.view().room || "search") !== "search") return;
  if (typing === box && event.key === "ArrowDown") { event.preventDefault(); focusCard(0); return; }
  if (typing || event.target.closest("[role=tab]")) return;
  if (event.key === "j" || event.key === "ArrowDown") { event.preventDefault(); focusCard(at + 1); }
  else if (event.key === "k" || event.key === "ArrowUp") {
    event.preventDefault();
    if (at <= 0) { at = -1; box.focus(); } else focusCard(at - 1);
  } else if (event.key === "Enter" && event.target.classList.contains("se-card")) act(event.target, "night");
});
completes(where, part("#se-columns"), () => S.ask(server.search_columns({})));
addEventListener("sleepsearch:snapshot", () => { if (asked && !asked.q && !asked.like) show(S.view(), true); });
S.watch(show);
