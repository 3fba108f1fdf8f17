// This browser's storage. Conversations are in a database, which holds far more than the few
// megabytes of `localStorage`; settings and drafts are there. Every access may be refused.
const patchbayStore = (() => {
  const OLD = "patchbay.kept."; // and a conversation's id: where versions up to 0.1 kept them
  const MOVED = "patchbay.moved";
  const STORES = ["index", "conversations", "files"];
  const channel = "BroadcastChannel" in window ? new BroadcastChannel("patchbay") : null;

  function load(key, otherwise = null, place = localStorage) {
    try {
      const text = place.getItem(key);
      return text === null ? otherwise : JSON.parse(text);
    } catch {
      return otherwise;
    }
  }

  function save(key, value, place = localStorage) {
    try {
      if (value === null) place.removeItem(key);
      else place.setItem(key, JSON.stringify(value));
      return true;
    } catch {
      return false;
    }
  }

  // --- the database ------------------------------------------------------------------------
  let opened = null;

  function database() {
    opened ||= new Promise((done, fail) => {
      const asked = indexedDB.open("patchbay", 1);
      asked.onupgradeneeded = () =>
        STORES.forEach((name) => asked.result.createObjectStore(name, { keyPath: "id" }));
      asked.onsuccess = () => {
        asked.result.onclose = () => (opened = null);
        done(asked.result);
      };
      asked.onerror = () => fail(asked.error);
    });
    return opened;
  }

  const got = (asked) =>
    new Promise((done, fail) => {
      asked.onsuccess = () => done(asked.result);
      asked.onerror = () => fail(asked.error);
    });

  // What the work gives, once all that it changed is written.
  async function within(mode, work) {
    const stores = await database();
    return new Promise((done, fail) => {
      const transaction = stores.transaction(STORES, mode);
      let result;
      transaction.oncomplete = () => done(result);
      transaction.onabort = () => fail(transaction.error || new Error("Nothing was stored."));
      const place = (name) => transaction.objectStore(name);
      work(place).then(
        (value) => (result = value),
        () => transaction.abort(),
      );
    });
  }

  const reading = (work, otherwise) => within("readonly", work).catch(() => otherwise);
  const writing = (work) => within("readwrite", work).then((value) => value ?? true, () => null);
  const tell = (message) => channel && channel.postMessage(message);

  // --- conversations -----------------------------------------------------------------------
  // The index has of each what the list shows: {id, at, name, title, pinned, words}.
  function indexed(conversation, known) {
    return {
      pinned: false,
      name: "",
      at: Date.now(),
      ...known,
      id: conversation.id,
      title: patchbayVersions.title(conversation),
      words: patchbayVersions.words(conversation),
    };
  }

  // Store it together with what another tab has stored of it, less the turns that are gone. Without
  // `known` it was worked on just now; with it, name, date and pin stay as they are stored, or else
  // are those. Null where nothing could be stored.
  async function keep(conversation, { known = null, gone = [] } = {}) {
    const stored = await writing(async (place) => {
      const [before, listed] = await Promise.all([
        got(place("conversations").get(conversation.id)),
        got(place("index").get(conversation.id)),
      ]);
      const whole = patchbayVersions.merged(before && before.conversation, conversation);
      whole.turns = whole.turns.filter(({ id }) => !gone.includes(id));
      place("conversations").put({ id: conversation.id, conversation: whole });
      const entry = indexed(whole, { ...known, ...listed, ...(known ? {} : { at: Date.now() }) });
      place("index").put(entry);
      return whole;
    });
    if (stored) tell({ id: conversation.id });
    return stored;
  }

  const open = (id) =>
    reading(async (place) => (await got(place("conversations").get(id)))?.conversation, undefined);

  const list = () => reading((place) => got(place("index").getAll()), []);

  async function change(id, changes) {
    await writing(async (place) => {
      const listed = await got(place("index").get(id));
      if (listed) place("index").put({ ...listed, ...changes });
    });
    tell({ id });
  }

  // Take them out; gives what was there, which `put` brings back.
  async function forget(ids) {
    const records = await writing(async (place) => {
      const found = await Promise.all(
        ids.map(async (id) => ({
          entry: await got(place("index").get(id)),
          conversation: (await got(place("conversations").get(id)))?.conversation,
        })),
      );
      for (const id of ids) STORES.forEach((name) => place(name).delete(id));
      return found.filter(({ conversation }) => conversation);
    });
    ids.forEach((id) => tell({ id, gone: true }));
    return records || [];
  }

  const records = async (ids) =>
    reading(
      (place) =>
        Promise.all(
          ids.map(async (id) => ({
            entry: await got(place("index").get(id)),
            conversation: (await got(place("conversations").get(id))).conversation,
          })),
        ),
      [],
    );

  async function put(found) {
    for (const { entry, conversation } of found) {
      if (!(await keep(conversation, { known: entry }))) return false;
    }
    return true;
  }

  // --- files of drafts ---------------------------------------------------------------------
  const keepFiles = (id, items) =>
    writing(async (place) => {
      if (items.length) place("files").put({ id, items });
      else place("files").delete(id);
    });
  const files = (id) => reading(async (place) => (await got(place("files").get(id)))?.items, undefined);

  // --- what earlier versions have kept -----------------------------------------------------
  async function migrate(open) {
    if (load(MOVED)) return;
    const keys = Object.keys(localStorage).filter((key) => key.startsWith(OLD));
    const kept = keys.map((key) => load(key)).filter((value) => value && value.conversation);
    if (open && Array.isArray(open.turns) && open.turns.length) {
      const same = kept.find(({ conversation }) => conversation.id === open.id);
      kept.push({ at: same ? same.at : Date.now(), conversation: open });
    }
    for (const { at, conversation } of kept) {
      if (!(await keep(patchbayVersions.upgraded(conversation), { known: { at } }))) return; // tried again
    }
    keys.forEach((key) => save(key, null));
    save(MOVED, true);
  }

  return {
    load, save, migrate, keep, open, list, change, forget, records, put, keepFiles, files,
    onmessage: (call) => channel && (channel.onmessage = ({ data }) => call(data)),
  };
})();
