// The box for SQL: it knows the columns, with unit and definition, and completes the word under the cursor.

/** Let `input` complete names of columns in `list`; `columns()` gives them once. */
function completes(input, list, columns) {
  let known = null, at = -1;
  const word = () => (input.value.slice(0, input.selectionStart).match(/\w*$/) || [""])[0];
  const close = () => { list.hidden = true; at = -1; input.setAttribute("aria-expanded", "false"); input.removeAttribute("aria-activedescendant"); };

  async function open() {
    known ??= await columns().catch(() => []);
    const typed = word().toLowerCase();
    const fits = known.filter((c) => c.column.toLowerCase().includes(typed) && c.column.toLowerCase() !== typed);
    fits.sort((a, b) => b.column.toLowerCase().startsWith(typed) - a.column.toLowerCase().startsWith(typed));
    if (!fits.length || document.activeElement !== input) { close(); return; }
    at = -1;
    list.innerHTML = fits.slice(0, 60).map((c, i) => `<li role="option" id="se-column-${i}" data-name="${sleepsearch.esc(c.column)}">`
      + `<b>${sleepsearch.esc(c.column)}</b> <i>${sleepsearch.esc(c.unit || c.type.toLowerCase())}</i> ${sleepsearch.esc(c.definition)}</li>`).join("");
    list.hidden = false;
    input.setAttribute("aria-expanded", "true");
  }

  function take(name) {
    const cursor = input.selectionStart, before = input.value.slice(0, cursor).replace(/\w*$/, "") + name;
    input.value = before + input.value.slice(cursor);
    input.focus();
    input.setSelectionRange(before.length, before.length);
    close();
  }

  function move(step) {
    const all = [...list.children];
    at = (at + step + all.length) % all.length;
    all.forEach((option, i) => option.setAttribute("aria-selected", String(i === at)));
    all[at].scrollIntoView({ block: "nearest" });
    input.setAttribute("aria-activedescendant", all[at].id);
  }

  input.addEventListener("focus", open);
  input.addEventListener("input", open);
  input.addEventListener("blur", () => setTimeout(close, 150));
  input.addEventListener("keydown", (event) => {
    if (list.hidden) return;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") { event.preventDefault(); move(event.key === "ArrowDown" ? 1 : -1); }
    else if ((event.key === "Enter" || event.key === "Tab") && at >= 0) { event.preventDefault(); take(list.children[at].dataset.name); }
    else if (event.key === "Escape") { event.preventDefault(); close(); }
  });
  list.addEventListener("mousedown", (event) => {
    const option = event.target.closest("[data-name]");
    if (option) { event.preventDefault(); take(option.dataset.name); }
  });
}
