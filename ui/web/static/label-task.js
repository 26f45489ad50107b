// The task that is edited: its labels and their prompts, what it is compared with; the same in the address.
const PACKED = "~", CHECK_MS = 400;
let known = null, task = null, packed = null, refused = null;

/** A value as text that fits into an address. */
async function pack(value) {
  const stream = new Blob([JSON.stringify(value)]).stream().pipeThrough(new CompressionStream("deflate-raw"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  const text = btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
  return PACKED + text.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** The value again. */
async function unpack(text) {
  const raw = atob(text.slice(PACKED.length).replaceAll("-", "+").replaceAll("_", "/"));
  const bytes = Uint8Array.from(raw, (c) => c.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"))).json();
}

/** The task of the package of that name, free to be changed. */
function packaged(name) {
  const found = known.tasks.find((one) => one.name === name);
  return found ? structuredClone({ ...found, refused: undefined }) : null;
}

/** Bring the editor to what the address says. */
async function openTask(address) {
  const said = address || known.tasks[0].name;
  if (said === packed) return;
  let opened = null;
  try { opened = said.startsWith(PACKED) ? await unpack(said) : packaged(said); } catch { opened = null; }
  if (!opened || !Array.isArray(opened.labels)) {
    wrong($(".lab-prompts .lab-work"), new Error("the link's task can't be read; here is the first task instead."));
    opened = packaged(known.tasks[0].name);
  }
  [task, packed] = [opened, said];
  drawTask();
  await check();
}

/** Something was edited: into the address, and what it makes impossible is said. */
async function edited({ redrawn = false } = {}) {
  const mine = ++edits, same = JSON.stringify(packaged(task.name)) === JSON.stringify({ ...task, refused: undefined });
  const text = same ? task.name : await pack(task);
  if (mine !== edits) return;
  packed = text;
  ss.go({ label_task: packed }, { replace: true });
  if (redrawn) drawTask();
  markEdited();
  stale();
  clearTimeout(checking);
  checking = setTimeout(check, redrawn ? 0 : CHECK_MS);
}
let edits = 0, checking = 0;

/** Say why the task can't be asked here, where it can't. */
async function check() {
  try {
    await ss.ask(server.label_check({ task }));
    refused = null;
  } catch (fault) {
    refused = fault.message;
  }
  const place = $(".lab-refused");
  if (place) place.textContent = refused || "";
  const start = $(".lab-run");
  if (start) start.disabled = Boolean(refused);
}

/** Whether the task asks for one thing, there or not. */
function asksPresence() {
  return task.labels.length === 2 && ["present", "absent"].every((name) => task.labels.some(([label]) => label === name));
}

/** A mark beside the task's name, and the way back. */
function markEdited() {
  const place = $(".lab-edited"), original = packaged(task.name);
  const undo = original && button("undo all edits", () => { task = original; edited({ redrawn: true }); });
  place.replaceChildren(...(packed.startsWith(PACKED) ? [original ? "edited " : "your own task ", undo || ""] : []));
  const chosen = $(".lab-task select");
  chosen.value = original ? task.name : "";
}

/** The whole editor. */
function drawTask() {
  const select = h("select", { "aria-label": "task", onchange: () => ss.go({ label_task: select.value, label_cuts: null }) },
    h("option", { value: "", hidden: true }, "your own"),
    known.tasks.map((one) => h("option", { value: one.name }, `${one.says || one.name}${one.refused ? " (no encoder reads its sensor)" : ""}`)));
  const own = (labels, name) => () => { task = { name, says: "", labels, holds: [], templates: [], column: null, event: null, concept: null, sensors: [] }; edited({ redrawn: true }); $(".lab-task textarea").focus(); };
  const rows = task.labels.map((_, row) => labelRow(row));
  $(".lab-task").replaceChildren(
    h("div", { className: "lab-row" }, field("Task", select), h("span", { className: "lab-edited lab-dim" }), h("span", { className: "lab-grow" }),
      button("New: one finding", own([["present", [""]], ["absent", [""]]], "mine")),
      button("New: several labels", own([["A", [""]], ["B", [""]]], "mine")),
      button("Save as TOML", saveTask, { title: "a file that sleepsearch classify --task takes" })),
    h("table", { className: "lab-prompttable" },
      h("thead", {}, h("tr", {}, h("th", {}, "Label"), h("th", {}, "Prompts: what its epochs look like, one a line"), task.column ? h("th", {}, "Scored as") : null, h("th", {}, ""))),
      h("tbody", {}, rows)),
    asksPresence() ? "" : button("+ label", () => { task.labels.push([`label ${task.labels.length + 1}`, [""]]); edited({ redrawn: true }); }),
    more(), h("p", { className: "lab-wrong lab-refused", role: "status" }));
  markEdited();
}

/** One label with its prompts. */
function labelRow(row) {
  const [label, texts] = task.labels[row], fixed = asksPresence();
  const name = h("input", { value: label, "aria-label": `name of label ${row + 1}`, onchange: () => renameLabel(row, name.value.trim()) });
  const prompts = h("textarea", { value: texts.join("\n"), rows: Math.max(texts.length, 2), spellcheck: false, "aria-label": `prompts of ${label}`,
    oninput: () => { task.labels[row][1] = prompts.value.split("\n").filter((text) => text.trim()); prompts.rows = Math.max(prompts.value.split("\n").length, 2); edited(); },
    onkeydown: (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); run(); } } });
  const holds = task.holds.find(([of]) => of === label), means = holds ? holds[1].join(", ") : label;
  const value = h("input", { value: means, "aria-label": `scored values of ${label}`, onchange: () => {
    const values = value.value.split(",").map((text) => text.trim()).filter(Boolean);
    task.holds = task.holds.filter(([of]) => of !== label);
    if (values.join(", ") !== label && values.length) task.holds.push([label, values]);
    edited();
  } });
  const away = button("×", () => { task.labels.splice(row, 1); task.holds = task.holds.filter(([of]) => of !== label); edited({ redrawn: true }); },
    { "aria-label": `remove label ${label}`, disabled: task.labels.length < 3 });
  return h("tr", {}, h("td", {}, h("i", { className: "lab-dot", style: `background:${hue(label, row)}` }), fixed ? h("b", {}, label) : name),
    h("td", {}, prompts), task.column ? h("td", {}, value) : null, h("td", {}, fixed ? "" : away));
}

/** A label's new name; what it is compared with stays. */
function renameLabel(row, name) {
  const old = task.labels[row][0], taken = task.labels.some(([label], i) => i !== row && label === name);
  if (!name || taken || name === old) { drawTask(); return; }
  task.labels[row][0] = name;
  const holds = task.holds.find(([of]) => of === old);
  if (holds) holds[0] = name;
  else if (task.column) task.holds.push([name, [old]]);
  edited({ redrawn: true });
}

/** Name, comparison, sensors and sentence forms. */
function more() {
  const set = (key) => (event) => { task[key] = event.target.value.trim(); edited({ redrawn: true }); };
  const against = task.event ? `event:${task.event}` : task.column ? `column:${task.column}` : "";
  const choices = asksPresence() ? known.events.map((name) => [`event:${name}`, `events: ${name.replaceAll("_", " ")}`]) : known.columns.map((name) => [`column:${name}`, name]);
  if (against && !choices.some(([value]) => value === against)) choices.push([against, against.split(":")[1]]);
  const compare = h("select", { onchange: () => { const [kind, name] = compare.value.split(":"); task.column = task.event = null; if (name) task[kind] = name; edited({ redrawn: true }); } },
    h("option", { value: "" }, "nothing that was scored"), choices.map(([value, text]) => h("option", { value }, text)));
  compare.value = against;
  const sensors = h("input", { value: task.sensors.map((set) => set.join(" + ")).join(" or "), placeholder: "any that the encoder reads", title: `such as EEG_C3 or EEG_C4, THX + ABD; the encoder reads ${known.channels.join(", ")}`,
    onchange: () => { task.sensors = sensors.value.split(/\s+or\s+/).map((set) => set.split("+").map((name) => name.trim()).filter(Boolean)).filter((set) => set.length); edited(); } });
  const forms = h("input", { value: task.templates.join(" | "), placeholder: "{}", title: "each prompt is put into each of these, at {}",
    onchange: () => { task.templates = forms.value.split("|").map((text) => text.trim()).filter(Boolean); edited(); } });
  return h("details", { className: "lab-more", open: !packaged(task.name) || morePressed, ontoggle: (event) => { morePressed = event.target.open; } }, h("summary", {}, "Name, scorer, sensors, sentence forms"),
    h("div", { className: "lab-row" }, field("Name", h("input", { value: task.name, onchange: set("name") })), field("Says", h("input", { value: task.says, onchange: set("says") })),
      field("Compare with", compare), field("Needs sensors", sensors), field("Sentence forms", forms)));
}
let morePressed = false;

/** The task as a file for the command line. */
async function saveTask() {
  try {
    const file = await ss.ask(server.label_toml({ task }));
    ss.download(file.name, file);
  } catch (fault) {
    wrong($(".lab-prompts .lab-work"), fault);
  }
}
