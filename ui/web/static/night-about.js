// Which night: the list to choose from, who it is, its numbers, its report, and what its channels became.
const SHOWN_NUMBERS = ["tib_min", "tst_min", "se_pct", "sol_min", "waso_min", "rem_latency_from_onset_min", "n1_min", "n2_min", "n3_min", "rem_min", "ahi_scored_per_h",
  "ahi_3a_per_h", "ahi_4_per_h", "rei_per_h", "odi3_per_h", "t90_pct", "spo2_nadir_pct", "arousal_index_per_h", "plmi_per_h"];
let listed = [], chosen = -1, typed = 0;

/** Go to another recording, from its start, with all else of the view kept. */
function pick(rec) {
  closeList();
  if (rec) SS.go({ rec, t: null });
}

const shortNumber = (value) => (value === null ? "–" : Math.abs(value) >= 100 || Number.isInteger(value) ? String(Math.round(value)) : value.toFixed(1));

/** A number's name as the field writes it: ahi_3a_per_h is AHI 3a. */
function named(name) {
  const plain = name.replace(/_(per_h|min|pct|h|s)$/, "").replaceAll("_", " ");
  return plain.replace(/\b(tib|spt|tst|waso|se|sol|rem|ahi|odi3|odi4|rei|t90|plmi|n1|n2|n3|w|nrem)\b/g, (word) => word.toUpperCase()).replace("spo2", "SpO₂").replace(" from onset", "");
}

/** Who and when, and the numbers that a reader looks for first. */
function who() {
  const p = night.facts.person, clock = night.start_clock_s === null ? "clock unknown" : `${clockOf(night, 0).slice(0, 5)}–${clockOf(night, night.duration_s).slice(0, 5)}`;
  const said = [p.subject, [p.sex, p.age != null ? shortNumber(p.age) : null].filter(Boolean).join(" "), p.site ?? p.cohort, `${(night.duration_s / 3600).toFixed(1)} h`, clock, p.diagnosis].filter(Boolean);
  $(".n-who").innerHTML = `${said.map(SS.esc).join(" · ")}${night.simulated ? ' <span class="n-simulated">simulated</span>' : ""}`;
  $(".n-before").disabled = !night.before;
  $(".n-after").disabled = !night.after;
  const [numbers = []] = night.facts.numbers;
  $(".n-numbers").innerHTML = SHOWN_NUMBERS.map((name) => numbers.find((n) => n.name === name)).filter((n) => n && n.value !== null)
    .map((n) => `<span title="${SS.esc(defined(n))}">${SS.esc(named(n.name))} <b>${shortNumber(n.value)}</b> <small>${SS.esc(n.unit)}</small></span>`).join("");
}

const defined = (n) => `${n.name}: ${n.definition}${n.denominator ? ` Per: ${n.denominator}.` : ""}`;

/** All numbers with their definitions, the report, the montage, and what was not understood. */
function facts() {
  const f = night.facts, cell = (n) => (n.value === null ? "not known" : typeof n.value === "number" ? `${shortNumber(n.value)} ${n.unit}` : n.value);
  const numbers = f.numbers.map((row) => `<table class="n-table"><tbody>${row.map((n) => `<tr><th scope="row">${SS.esc(named(n.name))}</th><td>${SS.esc(cell(n))}</td><td>${SS.esc(defined(n).slice(n.name.length + 2))}</td></tr>`).join("")}</tbody></table>`).join("");
  const absent = Object.entries(f.absent).map(([slot, why]) => `<tr><th scope="row">${SS.esc(slot)}</th><td>absent</td><td>${SS.esc(why)}</td></tr>`).join("");
  const montage = Object.entries(f.montage).map(([slot, why]) => `<tr data-slot="${SS.esc(slot)}"><th scope="row">${SS.esc(slot)}</th><td></td><td>${SS.esc(why)}</td></tr>`).join("");
  $(".n-facts > div").innerHTML = `${f.report.filter(Boolean).map((words) => `<p class="n-report">${SS.esc(words)}</p>`).join("")}
    <div class="n-two"><section><h4>Numbers</h4>${numbers}</section><section><h4>Channels: what each became, and why</h4>
    <table class="n-table"><tbody>${montage}${absent}</tbody></table><h4>Read otherwise, or not understood</h4>
    ${f.notes.length ? `<ul>${f.notes.map((line) => `<li>${SS.esc(line)}</li>`).join("")}</ul>` : "<p>nothing</p>"}</section></div>`;
}

/** Tick boxes for the channels, and their rates and units beside the montage. */
function choose() {
  const hidden = new Set(hiddenNow());
  $(".n-choose").innerHTML = channels.channels.map((c) => `<label><input type="checkbox" value="${SS.esc(c.name)}"${hidden.has(c.name) ? "" : " checked"}> ${SS.esc(c.name)} <small>${SS.esc(c.label)}</small></label>`).join("");
  for (const c of channels.channels) {
    const cell = element.querySelector(`.n-facts tr[data-slot="${CSS.escape(c.name)}"] td`);
    if (cell) cell.textContent = `${Number(c.rate_hz.toFixed(1))} Hz${c.unit ? `, ${c.unit}` : ""}${c.substitute ? ", substitute" : ""}`;
  }
}

$(".n-choose").addEventListener("change", (event) => {
  const rest = hiddenNow().filter((name) => name !== event.target.value);
  SS.go({ night_hide: [...rest, ...(event.target.checked ? [] : [event.target.value])].join("|") }, { replace: true });
});

// ---- the list

async function openList(words) {
  const mine = ++typed, found = await asked("nights", { words }).catch(() => null);
  if (!found || mine !== typed) return;
  listed = found.rows;
  chosen = Math.max(listed.findIndex((r) => r.recording === view?.rec), 0);
  drawList(found.total);
}

function drawList(total) {
  const box = $(".n-list");
  const rows = listed.map((r, i) => `<div role="option" id="n-option-${i}" data-rec="${SS.esc(r.recording)}" aria-selected="${i === chosen}"><b>${SS.esc(r.recording)}</b><span>${SS.esc(r.subject ?? "")}</span>
    <span>${SS.esc(r.site ?? r.cohort ?? "")}</span><span>${SS.esc([r.sex, r.age != null ? Math.round(r.age) : null].filter(Boolean).join(" "))}</span><span>${(r.duration_s / 3600).toFixed(1)} h</span>
    <span>${r.tst_min != null ? `TST ${Math.round(r.tst_min)} min` : ""}</span><span>${r.ahi_scored_per_h != null ? `AHI ${r.ahi_scored_per_h.toFixed(1)}` : ""}</span></div>`);
  const more = total > listed.length ? `<p>${total - listed.length} more; type to narrow</p>` : total ? "" : "<p>no night has these words</p>";
  box.innerHTML = rows.join("") + more;
  box.hidden = false;
  $(".n-find").setAttribute("aria-expanded", "true");
  mark();
}

function mark() {
  [...$(".n-list").querySelectorAll("[role=option]")].forEach((row, i) => row.setAttribute("aria-selected", i === chosen));
  $(".n-find").setAttribute("aria-activedescendant", `n-option-${chosen}`);
  $(`#n-option-${chosen}`)?.scrollIntoView({ block: "nearest" });
}

function closeList() {
  typed++;
  $(".n-list").hidden = true;
  $(".n-find").setAttribute("aria-expanded", "false");
  $(".n-find").value = view?.rec ?? "";
}

$(".n-find").addEventListener("focus", (event) => { event.target.select(); openList(""); });
$(".n-find").addEventListener("input", (event) => openList(event.target.value));
$(".n-find").addEventListener("blur", () => setTimeout(closeList, 150));
$(".n-find").addEventListener("keydown", (event) => {
  const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (by) { chosen = Math.min(Math.max(chosen + by, 0), listed.length - 1); mark(); event.preventDefault(); }
  if (event.key === "Enter" && listed[chosen]) { pick(listed[chosen].recording); event.target.blur(); }
  if (event.key === "Escape") event.target.blur();
});
$(".n-list").addEventListener("pointerdown", (event) => { const row = event.target.closest("[data-rec]"); if (row) { event.preventDefault(); pick(row.dataset.rec); $(".n-find").blur(); } });
