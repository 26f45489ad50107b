// A dialog that labels one epoch, outside all rooms so that any of them may ask for it:
//   const entry = await sleepsearch.labelling({ recording, start_s, stop_s });
// answers with the entry that was written, or null where the visitor thought better of it. `stop_s` is 30 s later unless
// given. Whoever shows labels listens to `sleepsearch:labelled` on window.
const ss = window.sleepsearch, AUTHOR = "sleepsearch-author";
const dialog = element.querySelector("dialog"), part = (name) => dialog.querySelector(`.lab-${name}`);
const [label, author] = ["said", "who"].map(part);
let place = null, written = null, answer = null;

/** Ask for a label of a stretch and write it in the author's name. */
ss.labelling = ({ recording, start_s, stop_s = start_s + 30 }) => new Promise((done) => {
  [place, written, answer] = [{ rec: recording, start_s, stop_s }, null, done];
  part("place").textContent = `${recording} · ${ss.hms(start_s, 1)} to ${ss.hms(stop_s, 1)}`;
  part("wrong").textContent = "";
  [label.value, author.value] = ["", localStorage.getItem(AUTHOR) || ""];
  dialog.showModal();
  label.focus();
  ss.ask(server.dialog_known({})).then((known) => {
    part("known").innerHTML = known.map((name) => `<option value="${ss.esc(name)}"></option>`).join("");
  }, () => {}); // it helps, no more
});

dialog.querySelector("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    localStorage.setItem(AUTHOR, author.value.trim());
    written = await ss.ask(server.dialog_write({ ...place, label: label.value, author: author.value }));
    dispatchEvent(new CustomEvent("sleepsearch:labelled", { detail: written }));
    dialog.close();
  } catch (fault) {
    part("wrong").textContent = fault.message;
  }
});
part("cancel").addEventListener("click", () => dialog.close());
dialog.addEventListener("close", () => answer?.(written));
