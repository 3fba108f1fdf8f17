// This browser's storage. Every access may be refused by the browser.
const patchbayStore = (() => {
  const KEPT = "patchbay.kept."; // and a conversation's id

  function load(key, otherwise = null) {
    try {
      const text = localStorage.getItem(key);
      return text === null ? otherwise : JSON.parse(text);
    } catch {
      return otherwise;
    }
  }

  function save(key, value) {
    try {
      localStorage.setItem(key, JSON.stringify(value));
      return true;
    } catch {
      return false;
    }
  }

  function forget(id) {
    try {
      localStorage.removeItem(KEPT + id);
    } catch {
      // nothing was stored, then
    }
  }

  const open = (id) => load(KEPT + id)?.conversation;

  // Whether it is stored.
  function keep(conversation) {
    const same = JSON.stringify(open(conversation.id)) === JSON.stringify(conversation);
    return same || save(KEPT + conversation.id, { at: Date.now(), conversation });
  }

  // Latest first.
  function all() {
    let keys = [];
    try {
      keys = Object.keys(localStorage).filter((key) => key.startsWith(KEPT));
    } catch {
      // no storage, nothing kept
    }
    const found = keys.map((key) => load(key)).filter((value) => value && value.conversation);
    return found.sort((a, b) => b.at - a.at).map((value) => value.conversation);
  }

  return { load, save, forget, open, keep, all, keyOf: (id) => KEPT + id };
})();
