// What all rooms of the page share. The address is the view: whatever a visitor chose stands in its query, so that a
// link restores it, Back undoes it, and nothing of it is kept on the server.
window.sleepsearch = (() => {
  const ROOM = "room", FIRST = "search";
  const listeners = new Set();

  /** The view as plain text values, such as {room: "night", rec: "n1", t: "5400"}. */
  function view() {
    return Object.fromEntries([...new URLSearchParams(location.search)].filter(([key]) => !key.startsWith("__")));
  }

  /** Change the view: null takes a key away. `replace` leaves no step for Back (dragging, typing). */
  function go(changes, { replace = false } = {}) {
    const query = new URLSearchParams(location.search);
    for (const [key, value] of Object.entries(changes)) {
      if (value === null || value === undefined || value === "") query.delete(key);
      else query.set(key, String(value));
    }
    const address = query.toString() ? `?${query}` : location.pathname;
    if (address === location.search) return;
    history[replace ? "replaceState" : "pushState"](null, "", address);
    tell();
  }

  /** Call `listener(view)` now and after each change of the view. */
  function watch(listener) {
    listeners.add(listener);
    listener(view());
  }

  function tell() {
    const now = view();
    openTab(now[ROOM] || FIRST);
    for (const listener of listeners) listener(now);
  }

  function openTab(room) {
    const tab = document.querySelector(`#rooms button[role=tab][data-tab-id="${room}"]`);
    if (tab && tab.getAttribute("aria-selected") !== "true") tab.click();
  }

  /** What a server function answers; an Error with one line for people where it can't. Says so when nobody answers. */
  async function ask(answer) {
    const found = await Promise.resolve(answer).catch(() => undefined); // the framework makes undefined of a lost server
    if (found === undefined) throw new Error((await lost()) || "the server could not answer; try again");
    if (found && found.error) throw new Error(found.error);
    return found;
  }

  /** Whether somebody answers: 200, 401 for one who is not logged in (any more), 0 for nobody. */
  function answers() {
    return fetch("./gradio_api/login_check", { cache: "no-store" }).then((response) => response.status, () => 0);
  }

  let waiting = false;
  /** Where the server is gone, says so until it is back; the page is then drawn anew, and the address restores the view. */
  async function lost() {
    let status = waiting ? 0 : await answers();
    if (status === 200) return null;
    if (!waiting) {
      waiting = true;
      if (status === 401) { location.reload(); return "you are no longer logged in"; }
      const banner = document.getElementById("lost");
      if (banner) banner.hidden = false;
      (async () => {
        while (status === 0) {
          await new Promise((done) => setTimeout(done, 2000));
          status = await answers();
        }
        location.reload(); // a new server knows nothing of this page's session
      })();
    }
    return "the server does not answer";
  }

  /** Text that is safe inside HTML, attributes too. */
  function esc(text) {
    return String(text ?? "").replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
  }

  /** The value of a colour of page.css in the theme that is on, such as colour("--stage-REM"), for canvas and plotly. */
  function colour(name) {
    return getComputedStyle(document.body).getPropertyValue(name).trim();
  }

  /** Seconds as h:mm:ss, the hour with so many digits. */
  function hms(seconds, digits = 2) {
    const parts = [seconds / 3600, (seconds / 60) % 60, seconds % 60];
    return parts.map((n, i) => String(Math.floor(n)).padStart(i ? 2 : digits, "0")).join(":");
  }

  /** Rows of values as the text of a CSV file. */
  function csv(rows) {
    const cell = (value) => (/[",\n]/.test(String(value ?? "")) ? `"${String(value).replaceAll("\"", "\"\"")}"` : value ?? "");
    return `${rows.map((row) => row.map(cell).join(",")).join("\n")}\n`;
  }

  /** Give the browser a file of this text, or of this base64. */
  function download(name, { text = null, content = null }) {
    const parts = text === null ? Uint8Array.from(atob(content), (c) => c.charCodeAt(0)) : text;
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([parts]));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  }

  /** Ask `look()` after a job until it has ended; `running(job)` is told meanwhile, and ends the asking by false. */
  async function job(look, running, pause_ms = 500) {
    for (;;) {
      const now = await ask(look());
      if (now.state !== "running" || running(now) === false) return now;
      await new Promise((done) => setTimeout(done, pause_ms));
    }
  }

  // A file that is let go beside a place for files must not take the page's place.
  for (const name of ["dragover", "drop"]) addEventListener(name, (event) => {
    if (event.dataTransfer?.types.includes("Files") && !event.target.closest?.("input[type=file]")) event.preventDefault();
  });
  addEventListener("popstate", tell);
  // A tab that is opened by hand goes into the address as well.
  document.addEventListener("click", (event) => {
    const tab = event.target.closest && event.target.closest("#rooms button[role=tab]");
    if (tab && event.isTrusted) go({ [ROOM]: tab.dataset.tabId });
  }, true);

  /** Open the tab that the address names, once the tabs are drawn. */
  function start() {
    if (document.querySelector("#rooms button[role=tab]")) openTab(view()[ROOM] || FIRST);
    else setTimeout(start, 30);
  }

  return { view, go, watch, ask, esc, colour, hms, csv, download, job, start };
})();
