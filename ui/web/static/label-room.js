// The room comes to life: what the address says, and what changes around it.
/** Bring the room to what the address says. */
async function openRoom(view) {
  if (view.room !== "label") return;
  const mode = view.label_mode === "examples" ? "examples" : FIRST_MODE;
  for (const one of element.querySelectorAll(".lab-modes button")) one.setAttribute("aria-pressed", String(one.dataset.mode === mode));
  $(".lab-prompts").hidden = mode !== "prompts";
  $(".lab-examples").hidden = mode !== "examples";
  try {
    await (mode === "prompts" ? openPrompts(view) : openExamples(view));
  } catch (fault) {
    wrong($(`.lab-${mode} .lab-work`), fault);
  }
}

/** The room as a link to prompts leaves it. */
async function openPrompts(view) {
  if (!known) {
    $(".lab-task").replaceChildren(h("p", { className: "lab-dim" }, "reading the tasks …"));
    opening ||= ss.ask(server.label_tasks({}));
    const found = await opening.finally(() => { opening = null; });
    if (found.refused) {
      $(".lab-task").replaceChildren(h("p", { className: "lab-wrong" }, found.refused));
      return;
    }
    known = found;
  }
  await openTask(view.label_task);
  if (!$(".lab-options").contains(document.activeElement)) drawOptions(view);
  if (refused) $(".lab-run").disabled = true;
  if (view.label_job && view.label_job !== token) await showRun(view.label_job, JSON.stringify(wanted()));
}
let opening = null, listening = 0;

/** The room as a link to examples leaves it. */
async function openExamples(view) {
  if (!$(".lab-gather").childElementCount) { drawGather(); drawLearn(); await listen(); }
  if (view.label_learn && view.label_learn !== learnToken) showLearning(view.label_learn);
  if (table.length || view.label_from || view.label_seed) await gather();
  clearInterval(listening); // others label at the same time
  listening = setInterval(() => { if (ss.view().room === "label" && ss.view().label_mode === "examples" && !document.hidden) listen().catch((fault) => say(fault.message, true)); }, LISTENS_MS);
}

for (const one of element.querySelectorAll(".lab-modes button")) one.addEventListener("click", () => ss.go({ label_mode: one.dataset.mode }));
addEventListener("sleepsearch:theme", redraw);
let resizing = 0;
addEventListener("resize", () => { clearTimeout(resizing); resizing = setTimeout(redraw, 150); });
addEventListener("sleepsearch:labelled", (event) => {
  if (event.detail.new) mine.push(event.detail.id);
  if (standing) listen().catch((fault) => say(fault.message, true));
});
ss.watch(openRoom);
