// What was written and not yet sent, of each conversation. A reload of this tab finds it in the tab's
// own storage, a new tab in the browser's.
const patchbayDrafts = (() => {
  const { load, save, keepFiles } = patchbayStore;
  const key = (id) => `patchbay.draft.${id}`;
  let session = null;
  try {
    session = sessionStorage;
  } catch {
    // refused; the browser's storage may still be there
  }

  const tab = (name) => (session ? load(name, null, session) : null);

  // {text, editing, instructions, use, wishes}, or nothing.
  const read = (id) => tab(key(id)) || load(key(id));

  // Whether it is stored.
  function write(id, draft) {
    const { text, editing, instructions, use, wishes } = draft;
    const some = text || editing || instructions || Object.keys({ ...use, ...wishes }).length;
    const value = some ? draft : null;
    if (session) save(key(id), value, session);
    return save(key(id), value);
  }

  // The conversation that this tab shows, and the one that is not begun.
  function showing(id, begun) {
    if (session) save("patchbay.tab", id, session);
    save("patchbay.last", id);
    if (!begun) save("patchbay.fresh", id);
    else if (load("patchbay.fresh") === id) save("patchbay.fresh", null);
  }

  return {
    read,
    write,
    showing,
    forget: (id) => write(id, {}),
    last: () => tab("patchbay.tab") || load("patchbay.last"),
    fresh: () => load("patchbay.fresh"),
    keepFiles,
    files: patchbayStore.files,
  };
})();
