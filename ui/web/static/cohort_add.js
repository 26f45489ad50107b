// Adding recordings: a folder of the server's machine or dropped files; a look over them, then an ingest in the background.
const coAdd = (() => {
  const { esc, ask } = window.sleepsearch;
  const $ = (name) => element.querySelector(`.co-${name}`);
  let drop = null, token = null, changed = () => {};

  /** What the form names. */
  function given() {
    return { path: drop ? null : $("path").value, drop, subjects: $("subjects").value };
  }

  function report(html) {
    $("report").innerHTML = html;
  }

  const wrong = (text) => report(`<p class="wrong">${esc(text)}</p>`);

  /** Start something of the server, follow it, and tell what came of it. */
  async function run(start, done) {
    if (token) return;
    busy(true);
    report("");
    try {
      const begun = await ask(start());
      await follow(begun.token, done);
    } catch (fault) {
      wrong(fault.message);
    } finally {
      busy(false);
    }
  }

  function busy(on) {
    for (const name of ["check", "go", "drop-off"]) $(name).disabled = on;
    $("job").hidden = !on;
    $("cancel").disabled = true; // until there is something to end
    if (on) {
      $("progress").removeAttribute("value");
      $("job-said").textContent = "starting …";
    }
  }

  /** Follow a job by its token until it ends. */
  async function follow(asked, done) {
    token = asked;
    $("cancel").disabled = false;
    try {
      const job = await window.sleepsearch.job(() => server.cohort_job({ token }), (now) => {
        if (now.of) [$("progress").max, $("progress").value] = [now.of, now.done];
        const last = now.of ? `${now.done} of ${now.of} read${now.said ? `, last ${now.said}` : ""}` : "reading";
        $("job-said").textContent = `${last}; ${Math.round(now.seconds)} s${now.cancelling ? "; ends after the file at hand" : ""}`;
      });
      if (job.state === "done") done(job.result);
      else if (job.state === "cancelled") {
        report(`<p>Cancelled: ${job.done} of ${job.of} files were read, and what was read stays. Add the same again to go on.</p>`);
      } else wrong(job.why || "the server no longer knows of this work; look at what the cohort holds");
    } finally {
      token = null;
      changed();
    }
  }

  function checked(found) {
    const refused = found.refused.map((r) => `<tr><td>${esc(r.path.split("/").pop())}</td><td class="wrong">${esc(r.error)}</td></tr>`).join("");
    const good = found.recordings.map((r) => `<tr><td>${esc(r.recording)}</td><td class="n">${r.hours.toFixed(2)}</td><td>${esc(r.channels.join(" "))}</td>` +
      `<td class="n">${r.stages}</td><td class="n">${r.events}</td><td>${r.known ? "in the cohort already: skipped if unchanged, else replaced" : "new"}` +
      `${r.listed === false ? "; not in the CSV" : ""}</td><td class="dim">${esc(r.notes.join("; "))}</td></tr>`).join("");
    const notes = found.notes.map((n) => `<p class="dim">${esc(n)}</p>`).join("");
    report(`<p><b>${found.recordings.length} would go in, ${found.refused.length} would be refused.</b></p>` +
      (refused ? `<table class="co-refused"><tr><th scope="col">refused</th><th scope="col">why</th></tr>${refused}</table>` : "") +
      (good ? `<table><tr><th scope="col">recording</th><th scope="col" class="n">hours</th><th scope="col">channels</th><th scope="col" class="n">stages</th>` +
        `<th scope="col" class="n">events</th><th scope="col">cohort</th><th scope="col">notes</th></tr>${good}</table>` : "") + notes);
  }

  function added(found) {
    const failed = found.failed.map((f) => `<tr><td>${esc(f.path.split("/").pop())}</td><td class="wrong">${esc(f.error)}</td></tr>`).join("");
    const notes = found.notes.map((note) => `<li>${esc(note)}</li>`).join("");
    report(`<p><b>${found.recordings} recording${found.recordings === 1 ? "" : "s"}, ${found.epochs.toLocaleString("en")} epochs added; ${found.skipped} skipped, ` +
      `${found.failed.length} failed; ${found.seconds} s.</b></p>` +
      (failed ? `<table class="co-failed"><tr><th scope="col">failed</th><th scope="col">why</th></tr>${failed}</table>` +
        "<p class=\"dim\">Mend or replace the file, then add it again: what is unchanged is skipped.</p>" : "") +
      (notes ? `<details><summary>${found.notes.length} notes</summary><ul class="dim">${notes}</ul></details>` : ""));
    forget(false);
  }

  /** Upload files, and keep them in the cohort until they are added or forgotten. */
  async function take(files) {
    if (!files.length || token) return;
    const most = Number($("files").dataset.gb), large = files.find((file) => file.size > most * 1024 ** 3);
    if (large) {
      $("files").value = "";
      return wrong(`${large.name} has ${(large.size / 1024 ** 3).toFixed(1)} GB; a page takes files of up to ${most} GB. Put it into a folder of this machine and name that, or use: sleepsearch ingest`);
    }
    busy(true);
    try {
      const sent = [];
      for (const [i, file] of files.entries()) {
        $("job-said").textContent = `sending ${i + 1} of ${files.length}: ${file.name}`;
        sent.push({ path: (await upload(file)).path, name: file.name });
      }
      ({ drop } = await ask(server.cohort_take({ files: sent })));
      const csv = files.find((file) => file.name.toLowerCase().endsWith(".csv"));
      $("path").value = "";
      $("path").disabled = true;
      $("path").placeholder = `${files.length} dropped files`;
      if (csv) $("subjects").value = csv.name;
      $("drop-off").hidden = false;
      report(`<p>${files.length} files are here: ${esc(files.map((file) => file.name).join(", "))}</p>`);
    } catch (fault) {
      wrong(fault.message);
    } finally {
      busy(false);
    }
  }

  function forget(remove = true) {
    if (!drop) return;
    if (remove) ask(server.cohort_discard({ drop })).catch((fault) => wrong(fault.message));
    drop = null;
    $("path").disabled = false;
    $("path").placeholder = "/data/psg/2026";
    $("files").value = "";
    $("drop-off").hidden = true;
  }

  /** Wire the form; `then` is called whenever the cohort may have changed. */
  function start(then) {
    changed = then;
    $("add").addEventListener("submit", (event) => {
      event.preventDefault();
      run(() => server.cohort_add(given()), added);
    });
    $("check").addEventListener("click", () => run(() => server.cohort_check(given()), checked));
    $("cancel").addEventListener("click", async () => {
      $("cancel").disabled = true;
      await ask(server.cohort_cancel({ token })).catch((fault) => wrong(fault.message));
    });
    $("drop-off").addEventListener("click", () => { forget(); report(""); });
    $("files").addEventListener("change", (event) => take([...event.target.files]));
    const zone = $("drop");
    for (const name of ["dragover", "dragleave", "drop"]) {
      zone.addEventListener(name, (event) => {
        event.preventDefault();
        zone.classList.toggle("over", name === "dragover");
        if (name === "drop") take([...event.dataTransfer.files]);
      });
    }
  }

  /** Show why nothing can be added, or go on with an ingest that is under way. */
  function state(found) {
    $("shut").hidden = !found.shut;
    $("shut").textContent = found.shut ? `Nothing can be added from here: ${found.shut}` : "";
    $("add").hidden = Boolean(found.shut);
    if (!found.ingest || token) return;
    $("adding").open = true;
    busy(true);
    follow(found.ingest, added).catch((fault) => wrong(fault.message)).finally(() => busy(false));
  }

  return { start, state };
})();
