// The tables of the cohort's room, as HTML: counts, recordings, nights, spaces; and a CSV of what is shown.
const coTables = (() => {
  const { esc } = window.sleepsearch;
  const count = (n) => Number(n).toLocaleString("en");
  const megabytes = (bytes) => (bytes > 1e9 ? `${(bytes / 1e9).toFixed(1)} GB` : `${(bytes / 1e6).toFixed(1)} MB`);
  const short = (value) => (Math.abs(value) >= 100 ? Math.round(10 * value) / 10 : Number(value.toPrecision(3)));
  const percent = (share) => (share === null || share === undefined ? "–" : `${Math.round(100 * share)} %`);

  /** The counts at the top. */
  function tiles(found) {
    const sites = Object.entries(found.sites);
    const names = sites.slice(0, 3).map(([name, n]) => `${name} ${n}`).join(", ") + (sites.length > 3 ? " …" : "");
    const whole = Object.values(found.bytes).reduce((sum, n) => sum + n, 0);
    const subjects = found.subjects_known < found.subjects ? `subjects, ${count(found.subjects_known)} known by a CSV` : "subjects";
    const shown = [
      [count(found.counts.recordings), `recordings${found.simulated ? `, ${count(found.simulated)} simulated` : ""}`],
      [count(found.counts.epochs), "epochs of 30 s"], [found.hours.toFixed(found.hours < 100 ? 1 : 0), "hours"],
      [count(found.subjects), subjects], [count(sites.length), `sites: ${names}`], [count(found.labels), "people's labels"],
      [megabytes(whole), `on disk, snapshot ${found.snapshot}`],
    ];
    return shown.map(([n, what]) => `<div><b>${esc(n)}</b><span>${esc(what)}</span></div>`).join("");
  }

  /** One recording a row, its montage, quality and scoring inside. */
  function recordings(found, open) {
    if (!found.rows.length) return "<p class=\"dim\">none yet</p>";
    const rows = found.rows.map((row) => {
      const bars = found.channels.map((channel) => {
        const share = row.usable[channel];
        const said = share === undefined ? `${channel}: missing` : `${channel}: usable in ${percent(share)}`;
        return share === undefined ? `<i class="none" title="${esc(said)}"></i>` :
          `<i style="height:${Math.max(6, 100 * (share || 0))}%" title="${esc(said)}"></i>`;
      }).join("");
      const missing = Object.keys(row.missing).length, here = Object.keys(row.slots).length;
      const tags = [
        row.substitutes ? `<span class="co-tag">substitutes: ${esc(row.substitutes)}</span>` : "",
        row.simulated ? "<span class=\"co-tag\">simulated</span>" : "",
      ].join("");
      return `<details data-recording="${esc(row.recording)}"${open.has(row.recording) ? " open" : ""}><summary>` +
        `<b>${esc(row.recording)}</b><span>${row.hours.toFixed(1)} h</span><span>${esc(row.site || "site not known")}</span>` +
        `<span class="co-bars" role="img" aria-label="${here} channels, ${missing} missing">${bars}</span>` +
        `<span class="dim">${here} channels${missing ? `, ${missing} missing` : ""}</span>` +
        `<span class="dim">scored: ${esc(row.scored.join(", ") || "nothing")}</span>${tags}</summary>` +
        `<div class="co-inside">${inside(row)}</div></details>`;
    });
    const rest = found.of > found.rows.length ? `<p class="dim">the first ${count(found.rows.length)} of ${count(found.of)}</p>` : "";
    return rows.join("") + rest;
  }

  function inside(row) {
    const slots = Object.entries(row.slots).map(([channel, said]) => {
      const share = row.usable[channel], width = Math.round(100 * (share || 0));
      return `<tr><td>${esc(channel)}</td><td>${esc(said)}</td><td><span class="co-bar"><i style="width:${width}%"></i></span>` +
        `${percent(share)}</td></tr>`;
    }).join("");
    const missing = Object.entries(row.missing).map(([channel, why]) =>
      `<tr><td>${esc(channel)}</td><td class="dim">missing: ${esc(why)}</td><td></td></tr>`).join("");
    const further = Object.entries(row.further).map(([name, said]) => `${name} ← ${said.split(":")[0]}`).join("; ");
    const scored = row.scorings.map((s) => `<tr><td>${esc(s.scorer)}${s.used ? " (used)" : ""}</td><td>${esc(s.kind)}</td>` +
      `<td>${s.scored ? esc(s.why || "scored") : "<span class=\"dim\">not scored</span>"}</td></tr>`).join("");
    const agreed = row.agreement.map((a) => `<p>${esc(a.other)} against ${esc(a.default)}: kappa ` +
      `${a.kappa === null ? "–" : a.kappa.toFixed(2)}, macro-F1 ${a.macro_f1.toFixed(2)}, ${count(a.epochs)} epochs</p>`).join("");
    const notes = row.notes.map((note) => `<li>${esc(note)}</li>`).join("");
    return `<p><button type="button" class="co-link" data-night="${esc(row.recording)}">open the night</button> ` +
      `<span class="dim">subject ${esc(row.subject)}, ${count(row.epochs)} epochs</span></p>` +
      `<table><tr><th scope="col">channel</th><th scope="col">label in the file, and why it was taken</th>` +
      `<th scope="col">usable</th></tr>${slots}${missing}</table>` +
      (further ? `<p class="dim">measured or viewed as well: ${esc(further)}</p>` : "") +
      (scored ? `<table><tr><th scope="col">scorer</th><th scope="col">kind</th><th scope="col">what</th></tr>${scored}</table>` : "") +
      agreed + (notes ? `<ul class="dim">${notes}</ul>` : "");
  }

  /** The table of nights: chosen columns, sorted, rows that hold the text. */
  function nights(found, { all, sort, down, find }) {
    const columns = found.columns.map((c, i) => ({ ...c, i })).filter((c) => all || c.first);
    const text = find.toLowerCase();
    const rows = found.rows.filter((row) => !text || row.some((v) => v !== null && String(v).toLowerCase().includes(text)));
    const by = found.columns.findIndex((c) => c.column === sort);
    if (by >= 0) {
      const order = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b)));
      // What is not known stays last, whichever way the table is sorted.
      rows.sort((a, b) => (a[by] === null) - (b[by] === null) || (down ? -1 : 1) * order(a[by], b[by]));
    }
    const head = columns.map((c) => `<th scope="col"${c.number ? " class=\"n\"" : ""}` +
      `${c.column === sort ? ` aria-sort="${down ? "descending" : "ascending"}"` : ""} title="${esc(c.definition)}">` +
      `<button type="button" data-sort="${esc(c.column)}">${esc(c.column.replace(/_(per_h|min|pct|h)$/, ""))}` +
      `${c.unit && c.unit !== "text" ? ` <span class="dim">${esc(c.unit)}</span>` : ""}` +
      `${c.column === sort ? (down ? " ↓" : " ↑") : ""}</button></th>`).join("");
    const cell = (c, value) => {
      if (c.column === "recording") return `<td><button type="button" class="co-link" data-night="${esc(value)}">${esc(value)}</button></td>`;
      const said = value === null ? "–" : typeof value === "number" ? short(value) : value;
      return `<td${c.number ? " class=\"n\"" : ""}>${esc(said)}</td>`;
    };
    const body = rows.map((row) => `<tr>${columns.map((c) => cell(c, row[c.i])).join("")}</tr>`).join("");
    return { html: `<table><thead><tr>${head}</tr></thead><tbody>${body}</tbody></table>`, shown: rows };
  }

  function spaces(found) {
    const rows = Object.entries(found.spaces).flatMap(([space, facts]) => Object.entries(facts.collections).map(([what, held]) =>
      `<tr><td>${esc(space)}${space === found.default_space ? " (default)" : ""}</td><td>${esc(what)}</td><td class="n">${facts.dim}</td>` +
      `<td class="n">${count(held.vectors)}</td><td class="n">${count(held.missing)}</td><td class="n">${megabytes(held.bytes)}</td></tr>`)).join("");
    const engines = found.engines.map((e) => `<tr><td>${esc(e.engine)}</td><td>${esc(e.device)}</td>` +
      `<td>${e.installed ? "installed" : "not installed"}</td><td>${esc(e.status)}</td></tr>`).join("");
    const sizes = Object.entries(found.bytes).map(([folder, bytes]) => `${esc(folder)} ${megabytes(bytes)}`).join(", ");
    const agreed = found.agreement.map((a) => `<p>${esc(a.words)}</p>`).join("");
    const failed = found.failed.length ? `<p><b>${found.failed.length} failed in the last ingest</b></p><ul>` +
      found.failed.map((why) => `<li>${esc(why)}</li>`).join("") + "</ul><p class=\"dim\">Mend or replace the file, then add its folder " +
      "again: what is unchanged is skipped.</p>" : "";
    return `<table><tr><th scope="col">space</th><th scope="col">vectors of</th><th scope="col" class="n">dim</th><th scope="col" class="n">vectors</th>` +
      `<th scope="col" class="n">missing</th><th scope="col" class="n">size</th></tr>${rows}</table>` +
      `<p class="dim">on disk: ${sizes}</p><table><tr><th scope="col">engine</th><th scope="col">device</th>` +
      `<th scope="col"></th><th scope="col"></th></tr>${engines}</table>` +
      (agreed ? `<p><b>Scorers of the same nights</b></p>${agreed}` : "") + failed;
  }

  /** Save rows as a CSV file. */
  function save(name, columns, rows) {
    window.sleepsearch.download(name, { text: window.sleepsearch.csv([columns, ...rows]) });
  }

  return { tiles, recordings, nights, spaces, save };
})();
