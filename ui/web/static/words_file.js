// A file that is not in the cohort: sent, read with progress, shown, forgotten.
const GB = Number(element.querySelector(".wd").dataset.gb);
const drop = element.querySelector(".wd-drop"), chooser = element.querySelector("#wd-file");
const progress = element.querySelector(".wd-progress"), foreign = element.querySelector(".wd-foreign");

/** Send files and have them read; the address gets their token once they are. */
async function bring(files) {
  const size = files.reduce((sum, file) => sum + file.size, 0) / 1e6;
  if (!files.length) return;
  if (size > GB * 1000) return say(`${size.toFixed(0)} MB: at most ${GB} GB can be read here. Larger nights: sleepsearch ingest.`, true);
  try {
    waitFor(`sending ${size.toFixed(0)} MB`);
    const sent = [];
    for (const file of files) sent.push({ path: (await upload(file)).path, name: file.name });
    const { file } = await sleepsearch.ask(server.words_read({ files: sent }));
    await reading(file);
  } catch (fault) {
    progress.hidden = true;
    say(fault.message, true);
  }
}

/** Ask after the reading of a file until it ends. */
async function reading(file) {
  progress.querySelector("button").onclick = () => server.words_forget({ file });
  const job = await sleepsearch.job(() => server.words_reading({ file }), (now) => {
    waitFor(`${now.said || "waiting for its turn"} · ${Math.round(now.seconds)} s; a night of eight hours takes one to two minutes`);
  }, 700);
  if (job.state !== "done") throw new Error(job.why || (job.state === "cancelled" ? "reading was cancelled; the file is deleted" : "this file is gone; drop it again"));
  progress.hidden = true;
  say("");
  sleepsearch.go({ room: "words", file, rec: null, t: "0" });
}

/** Show what is waited for. */
function waitFor(words) {
  progress.hidden = false;
  progress.querySelector("span").textContent = words;
}

/** What was understood of a file, and the button that deletes it. */
function foreignOf(night) {
  const { montage, understood, notes, left_min: left } = night.file;
  const rows = montage.channels.map((row) => `<tr><th scope="row">${esc(row.label)}</th><td>${row.rate_hz ? `${Number(row.rate_hz.toFixed(2))} Hz` : ""}</td><td>${esc(row.unit)}</td><td>${esc(row.became || "not used")}</td><td>${esc(row.why)}</td></tr>`);
  const absent = Object.entries(montage.absent).map(([channel, why]) => `${esc(channel)}: ${esc(why)}`).join(" · ");
  const told = [...new Set([...montage.problems, ...notes, ...understood.notes])].map((line) => `<li>${esc(line)}</li>`).join("");
  const scored = understood.scored.length ? `scored: ${understood.scored.join(", ")}` : "nobody scored it: no annotations came with it";
  return `<div class="wd-title"><p><b>${esc(night.recording)}</b> ${night.simulated ? `<span class="wd-mark">simulated</span>` : ""} is not in the cohort: ${understood.hours.toFixed(1)} h,
      ${understood.channels.length} of 12 channels, ${esc(scored)}. Deleted in ${left} min at the latest.</p><span class="wd-grow"></span>
      <button type="button" class="wd-forget">Delete it now</button></div>
    <details><summary>What became of its ${montage.channels.length} labels (${esc(montage.cohort || "site not known")}: ${esc(montage.cohort_why)})</summary>
      <table class="wd-montage"><thead><tr><th>label</th><th>rate</th><th>unit</th><th>became</th><th>why</th></tr></thead><tbody>${rows.join("")}</tbody></table>
      ${absent ? `<p class="wd-none">absent: ${absent}</p>` : ""}${told ? `<ul class="wd-none">${told}</ul>` : ""}</details>`;
}

chooser.addEventListener("change", () => {
  bring([...chooser.files]);
  chooser.value = "";
});
// Anywhere in the room: who drags a file onto the page does not aim.
const holdsFiles = (event) => event.dataTransfer.types.includes("Files");
for (const name of ["dragenter", "dragover"]) element.addEventListener(name, (event) => {
  if (!holdsFiles(event)) return;
  event.preventDefault();
  drop.classList.add("wd-over");
});
element.addEventListener("dragleave", (event) => { if (!element.contains(event.relatedTarget)) drop.classList.remove("wd-over"); });
element.addEventListener("drop", (event) => {
  if (!holdsFiles(event)) return;
  event.preventDefault();
  drop.classList.remove("wd-over");
  bring([...event.dataTransfer.files]);
});
