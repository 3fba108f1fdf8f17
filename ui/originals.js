// The files that were attached, as they came: a translation can be written into them. They stay in
// this browser's storage, in a database of their own, as long as a conversation names them.
const patchbayOriginals = (() => {
  const DAY = 86400000; // ms that a file is kept which no conversation names yet
  const SWEPT = "patchbay.swept";
  const FORMATS = ["docx", "markdown", "html", "text", "srt", "vtt"]; // see documents.WRITABLE

  const names = (conversations) =>
    conversations.flatMap(({ turns }) => turns.flatMap(({ attached }) => attached || [])).map(({ original }) => original);

  const settled = (request) =>
    new Promise((resolve, reject) => {
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });

  async function files(mode) {
    const opening = indexedDB.open("patchbay.originals", 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore("files");
    return (await settled(opening)).transaction("files", mode).objectStore("files");
  }

  // The name it is kept under; empty where this browser keeps nothing.
  async function keep(file) {
    const name = [...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16)).join("");
    try {
      await settled((await files("readwrite")).put({ file, at: Date.now() }, name));
      return name;
    } catch {
      return "";
    }
  }

  async function find(name) {
    try {
      return name ? (await settled((await files("readonly")).get(name)))?.file : undefined;
    } catch {
      return undefined;
    }
  }

  async function named() {
    const ids = (await patchbayStore.list()).map(({ id }) => id);
    return new Set(names((await patchbayStore.records(ids)).map(({ conversation }) => conversation)));
  }

  // Once a day those go that no conversation names any more.
  async function sweep() {
    if (Date.now() - patchbayStore.load(SWEPT, 0) < DAY) return;
    patchbayStore.save(SWEPT, Date.now());
    try {
      if (!(await settled((await files("readonly")).count()))) return;
      const wanted = await named();
      const kept = await files("readwrite");
      for (const name of await settled(kept.getAllKeys())) {
        if (wanted.has(name)) continue;
        const { at } = await settled(kept.get(name));
        if (Date.now() - at > DAY) kept.delete(name);
      }
    } catch {
      // nothing is kept, then
    }
  }

  // Those of conversations that stay deleted go, but for what others name too.
  async function forget(conversations) {
    const gone = names(conversations).filter(Boolean);
    if (!gone.length) return;
    const wanted = await named();
    try {
      const kept = await files("readwrite");
      gone.filter((name) => !wanted.has(name)).forEach((name) => kept.delete(name));
    } catch {
      // nothing is kept, then
    }
  }

  return { keep, find, forget, sweep, writable: ({ format }) => FORMATS.includes(format) };
})();
