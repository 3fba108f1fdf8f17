// The list of conversations: search, dates, names, pins; deleting with a way back; files in and out.
const patchbayChats = (() => {
  const { list, change, forget, records, put } = patchbayStore;
  const find = (selector) => document.querySelector(selector);
  const DAY = 86400000;
  const LONG = 10000; // ms that what was just deleted can be brought back

  let entries = []; // of all conversations, latest first
  let shown = null; // id of the one that is open
  let back = []; // records that were deleted last
  let hiding = 0;
  const rows = new Map(); // id -> the row that was made of an entry, and what it shows
  let calls = { opened: () => {}, gone: () => {} };

  const midnight = (days) => new Date().setHours(0, 0, 0, 0) - days * DAY;

  function when({ at, pinned }) {
    if (pinned) return "pinned";
    const limits = [["today", 0], ["yesterday", 1], ["week", 7], ["month", 30]];
    return (limits.find(([, days]) => at >= midnight(days)) || ["older"])[0];
  }

  async function refresh() {
    entries = (await list()).sort((a, b) => b.pinned - a.pinned || b.at - a.at);
    draw();
  }

  function draw() {
    const chats = find(".pb-chats");
    if (!chats || chats.querySelector(".pb-name-box:not([hidden])")) return; // a name is being typed
    const wanted = find("#pb-search").value.toLowerCase().trim();
    const found = entries.filter((entry) => fits(entry, wanted));
    find(".pb-list").dataset.empty = String(entries.length === 0);
    find(".pb-unfound").hidden = !wanted || found.length > 0;
    const looks = JSON.stringify(found.map((entry) => [when(entry), entry.id, shows(entry)]));
    if (chats.looks === looks) return; // an answer is kept every second: menus stay open, focus where it is
    chats.looks = looks;
    const times = [...new Set(found.map(when))];
    chats.replaceChildren(
      ...times.flatMap((time) => group(time, found.filter((entry) => when(entry) === time))),
    );
  }

  const fits = (entry, wanted) =>
    !wanted || entry.words.includes(wanted) || entry.name.toLowerCase().includes(wanted);

  function group(time, members) {
    const heading = find("#pb-times").content.querySelector(`[data-when=${time}]`).cloneNode(true);
    const list = document.createElement("ul");
    list.append(...members.map(row));
    return [heading, list];
  }

  const shows = ({ name, title, pinned }) => JSON.stringify([name || title || "…", pinned]);

  function row(entry) {
    const known = rows.get(entry.id);
    const made = known?.shows === shows(entry) ? known.made : fresh(entry);
    rows.set(entry.id, { made, shows: shows(entry) });
    point(made.querySelector(".pb-chat"));
    return made;
  }

  function fresh(entry) {
    const made = find("#pb-chat").content.cloneNode(true).firstElementChild;
    made.dataset.id = entry.id;
    const link = made.querySelector(".pb-chat");
    link.textContent = entry.name || entry.title || "…";
    link.href = `#${entry.id}`;
    made.querySelector("[data-act=pin]").setAttribute("aria-pressed", String(entry.pinned));
    return made;
  }

  function mark(id) {
    shown = id;
    document.querySelectorAll(".pb-chat").forEach(point);
  }

  function point(link) {
    if (link.parentElement.dataset.id === shown) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }

  const entryOf = (element) => entries.find(({ id }) => id === element.closest("li").dataset.id);

  // --- names ---------------------------------------------------------------------------------
  function rename(button) {
    const made = button.closest("li");
    const box = made.querySelector(".pb-name-box");
    const entry = entryOf(button);
    made.querySelector(".pb-more").open = false;
    box.hidden = false;
    patchbayLooks.speak(); // a row is made of a template, which nothing translates
    box.value = entry.name || entry.title;
    box.select();
    box.focus();
  }

  async function named(box, taken) {
    if (box.hidden) return;
    const { id, title } = entryOf(box);
    const name = box.value.trim();
    box.hidden = true;
    if (taken) await change(id, { name: name === title ? "" : name });
    await refresh();
    find(`li[data-id="${id}"] .pb-chat`)?.focus();
  }

  document.addEventListener("keydown", (event) => {
    if (!event.target.matches?.(".pb-name-box") || event.isComposing || event.keyCode === 229) return;
    if (event.key !== "Enter" && event.key !== "Escape") return;
    event.preventDefault();
    event.stopPropagation();
    named(event.target, event.key === "Enter");
  });
  document.addEventListener("focusout", (event) => {
    if (event.target.matches?.(".pb-name-box")) named(event.target, true);
  });

  // --- deleting, with a way back -----------------------------------------------------------
  async function drop(ids) {
    const taken = (back = await forget(ids));
    setTimeout(() => patchbayOriginals.forget(taken.map(({ conversation }) => conversation)), LONG);
    ids.forEach((id) => rows.delete(id));
    calls.gone(ids);
    await refresh();
    tell("deleted");
  }

  function tell(kind) {
    const toast = find(".pb-toast");
    toast.dataset.kind = kind;
    toast.hidden = false;
    clearTimeout(hiding);
    if (kind === "deleted" || kind === "imported") hiding = setTimeout(quiet, LONG);
  }

  function quiet() {
    find(".pb-toast").hidden = true;
  }

  async function restore() {
    const [one] = back;
    await put(back);
    back = [];
    quiet();
    await refresh();
    if (one) calls.opened(one.conversation.id);
  }

  function clear(button) {
    if (button.dataset.sure !== "true") {
      button.dataset.sure = "true";
      setTimeout(() => delete button.dataset.sure, 4000);
      return;
    }
    delete button.dataset.sure;
    drop(entries.map(({ id }) => id));
  }

  // --- files ---------------------------------------------------------------------------------
  async function take(file) {
    const found = patchbayTransfer.read(await file.text());
    if (!found) return tell("foreign");
    const stored = await put(found);
    await refresh();
    if (stored) tell("imported");
    return stored && found.length && calls.opened(found[0].conversation.id);
  }

  document.addEventListener("change", (event) => {
    if (event.target.id !== "pb-import") return;
    [...event.target.files].forEach(take);
    event.target.value = "";
  });
  document.addEventListener("input", (event) => {
    if (event.target.id === "pb-search") draw();
  });

  const acts = {
    pin: async (button) => {
      const { id, pinned } = entryOf(button);
      await change(id, { pinned: !pinned });
      await refresh();
      find(`li[data-id="${id}"] .pb-chat`)?.focus();
    },
    rename,
    markdown: async (button) => patchbayTransfer.markdown((await records([entryOf(button).id]))[0]),
    json: async (button) => patchbayTransfer.json(await records([entryOf(button).id])),
    exportall: async () => patchbayTransfer.json(await records(entries.map(({ id }) => id))),
    import: () => find("#pb-import").click(),
    forget: (button) => drop([entryOf(button).id]),
    clear,
    restore,
    quiet,
  };

  // A conversation as it is on the page, whether it could be stored or not.
  function save(conversation) {
    const entry = entries.find(({ id }) => id === conversation.id);
    const title = patchbayVersions.title(conversation);
    patchbayTransfer.json([{ entry: entry || { at: Date.now(), name: "", pinned: false, title }, conversation }]);
  }

  return { acts, refresh, mark, tell, save, oncalls: (found) => (calls = found) };
})();
