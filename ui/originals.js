// The files that were attached, as they came: a translation can be written into them. They stay in
// this browser's database (localStorage has no room for them) as long as a conversation names them.
const patchbayOriginals = (() => {
  const DAY = 86400000; // ms that a file is kept which no conversation names yet
  const FORMATS = ["docx", "markdown", "html", "text", "srt", "vtt"]; // see documents.WRITABLE

  const names = (conversations) =>
    conversations.flatMap(({ turns }) => turns.flatMap(({ attached }) => attached || [])).map(({ original }) => original);

  const settled = (request) =>
    new Promise((resolve, reject) => {
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });

  async function files(mode) {
    const opening = indexedDB.open("patchbay", 1);
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

  // Those that no conversation names any more go.
  async function sweep(conversations) {
    const named = new Set(names(conversations));
    try {
      const kept = await files("readwrite");
      for (const name of await settled(kept.getAllKeys())) {
        if (named.has(name)) continue;
        const { at } = await settled(kept.get(name));
        if (Date.now() - at > DAY) kept.delete(name);
      }
    } catch {
      // nothing is kept, then
    }
  }

  // Those of a conversation that was deleted go at once, but for what others name too.
  async function forget({ turns }, others) {
    const shared = new Set(names(others));
    try {
      const kept = await files("readwrite");
      names([{ turns }]).filter((name) => name && !shared.has(name)).forEach((name) => kept.delete(name));
    } catch {
      // nothing is kept, then
    }
  }

  return { keep, find, forget, sweep, writable: ({ format }) => FORMATS.includes(format) };
})();
