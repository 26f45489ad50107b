const POLL_MS = 10000, KEY = "sleepsearch-dark", shade = matchMedia("(prefers-color-scheme: dark)");
const theme = element.querySelector(".ss-theme"), link = element.querySelector(".ss-link");

/** Light or dark: what was chosen here before, else what the system prefers. */
function applyTheme() {
  const kept = localStorage.getItem(KEY), dark = kept === null ? shade.matches : kept === "1";
  theme.setAttribute("aria-pressed", String(dark));
  if (document.body.classList.contains("dark") === dark) return;
  document.body.classList.toggle("dark", dark);
  dispatchEvent(new Event("sleepsearch:theme"));
}
theme.addEventListener("click", () => {
  localStorage.setItem(KEY, document.body.classList.contains("dark") ? "0" : "1");
  applyTheme();
});
shade.addEventListener("change", () => setTimeout(applyTheme)); // after the framework, which follows the system alone
applyTheme();

link.addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(location.href);
    link.textContent = "Copied";
  } catch {
    link.textContent = "Copy the address above"; // browsers give the clipboard to https and loopback alone
  }
  setTimeout(() => { link.textContent = "Copy link"; }, 2000);
});

let snapshot = null;

/** What the header says of the cohort; rooms hear of a newer snapshot by `sleepsearch:snapshot`. */
async function refresh() {
  if (document.hidden) return;
  const state = await sleepsearch.ask(server.header_state({})).catch(() => null);
  if (!state) return;
  const many = (n, what) => `${n.toLocaleString("en")} ${what}${n === 1 ? "" : "s"}`;
  element.querySelector(".ss-of").textContent = state.name;
  const counts = element.querySelector(".ss-counts"), newer = snapshot !== null && snapshot !== state.snapshot;
  const said = `${many(state.nights, "night")} · ${many(state.epochs, "epoch")} · snapshot ${state.snapshot}`;
  if (counts.textContent !== said) counts.textContent = said;
  counts.classList.toggle("ss-newer", newer);
  element.querySelector(".ss-simulated").hidden = !state.simulated;
  snapshot = state.snapshot;
  if (newer) dispatchEvent(new CustomEvent("sleepsearch:snapshot", { detail: state }));
}
refresh();
setInterval(refresh, POLL_MS);
document.addEventListener("visibilitychange", refresh);
window.sleepsearch.start();
