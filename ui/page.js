// The page's own behaviour: language, colours, the list of conversations in this browser's storage,
// the composer, and one way in (`act`) for everything a visitor presses. Answers are drawn by
// Python; the bridge carries what was pressed there and the conversation back.
window.patchbay = (() => {
  const root = document.documentElement;
  const find = (selector) => document.querySelector(selector);
  const KEPT = "patchbay.kept.";
  const LANGUAGES = ["en", "zh"];
  const THEMES = ["system", "light", "dark"];

  let trigger = null; // Gradio's way to raise an event of the bridge
  let current = null; // the conversation that is open
  let waiting = null; // resolves when what runs has come to rest
  let sent = null; // text that was sent and not yet taken up
  let editing = null; // the turn that the composer's text replaces

  // --- storage: every access may be refused by the browser ---------------------------------
  function load(key, otherwise) {
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

  function forget(key) {
    try {
      localStorage.removeItem(key);
    } catch {
      // nothing was stored, then
    }
  }

  // --- language ----------------------------------------------------------------------------
  function language() {
    const chosen = load("patchbay.language", null);
    if (LANGUAGES.includes(chosen)) return chosen;
    const wanted = (navigator.languages || [navigator.language]).find((tag) => /^(en|zh)/i.test(tag));
    return wanted && wanted.toLowerCase().startsWith("zh") ? "zh" : "en";
  }

  function speak() {
    const code = language();
    root.lang = code === "zh" ? "zh-CN" : "en";
    root.dataset.language = code;
    for (const element of document.querySelectorAll("[data-words]")) {
      for (const [name, both] of Object.entries(JSON.parse(element.dataset.words))) {
        element.setAttribute(name, both[code]);
      }
    }
    for (const button of document.querySelectorAll("[data-act=language]")) {
      button.setAttribute("aria-pressed", String(button.dataset.language === code));
    }
  }

  // --- colours -----------------------------------------------------------------------------
  const system = matchMedia("(prefers-color-scheme: dark)");

  function paint() {
    const chosen = load("patchbay.theme", "system");
    const dark = chosen === "dark" || (chosen !== "light" && system.matches);
    document.body.classList.toggle("dark", dark);
    root.dataset.theme = THEMES.includes(chosen) ? chosen : "system";
    root.style.colorScheme = dark ? "dark" : "light";
  }

  function nextTheme() {
    const position = THEMES.indexOf(root.dataset.theme);
    save("patchbay.theme", THEMES[(position + 1) % THEMES.length]);
    paint();
  }

  // --- conversations -----------------------------------------------------------------------
  function kept() {
    const found = [];
    for (let i = 0; i < localStorage.length; i += 1) {
      const key = localStorage.key(i);
      const value = key.startsWith(KEPT) ? load(key, null) : null;
      if (value && value.conversation) found.push(value);
    }
    return found.sort((a, b) => b.at - a.at);
  }

  function keep(conversation) {
    const value = { at: Date.now(), conversation };
    const known = load(KEPT + conversation.id, null);
    if (known && JSON.stringify(known.conversation) === JSON.stringify(conversation)) return;
    const stored = save(KEPT + conversation.id, value);
    complain("full", !stored);
  }

  function list() {
    const chats = find(".pb-chats");
    if (!chats) return;
    const all = kept();
    find(".pb-list").dataset.empty = String(all.length === 0);
    chats.replaceChildren(
      ...all.map(({ conversation }) => {
        const row = find("#pb-chat").content.cloneNode(true);
        const open = row.querySelector(".pb-chat");
        open.textContent = conversation.title || "…";
        open.dataset.id = conversation.id;
        open.setAttribute("aria-current", String(Boolean(current) && conversation.id === current.id));
        row.querySelector("[data-act=forget]").dataset.id = conversation.id;
        return row;
      }),
    );
  }

  // Python hands the conversation back: when a request is taken up, and when it is answered.
  function remember(conversation) {
    current = conversation && conversation.turns ? conversation : null;
    if (current && current.turns.length) {
      keep(current);
      if (sent !== null && current.turns.some((turn) => turn.text === sent)) accepted();
    }
    list();
  }

  function ready(conversation) {
    remember(conversation);
    speak();
    root.dataset.ready = "true";
    resize();
  }

  // --- composer ----------------------------------------------------------------------------
  const box = () => find("#pb-text");

  function resize() {
    const area = box();
    if (!area) return;
    area.style.height = "auto";
    area.style.height = `${Math.min(area.scrollHeight, innerHeight * 0.4)}px`;
    find(".pb-send").disabled = area.value.trim() === "";
  }

  function write(text) {
    box().value = text;
    resize();
    box().focus();
  }

  function edit(id) {
    editing = id;
    find(".pb-editing").hidden = id === null;
  }

  function accepted() {
    if (box().value.trim() === sent) write("");
    sent = null;
    edit(null);
  }

  function complain(what, shown) {
    const problem = find(".pb-problem");
    if (!problem) return;
    if (shown) problem.dataset.what = what;
    if (shown || problem.dataset.what === what) problem.hidden = !shown;
  }

  // --- running -----------------------------------------------------------------------------
  function begin(answers) {
    if (answers) root.dataset.busy = "true";
    let rest;
    waiting = new Promise((resolve) => (rest = resolve));
    waiting.rest = rest;
  }

  function idle() {
    delete root.dataset.busy;
    complain("lost", sent !== null);
    sent = null;
    if (waiting) waiting.rest();
    waiting = null;
  }

  // Raise an event of the bridge, one at a time: what runs is stopped (or waited for) first.
  async function raise(event, data = {}, stops = true) {
    if (waiting && stops) trigger("stop", {});
    while (waiting) await waiting;
    begin(["send", "retry", "reroute"].includes(event));
    if (event === "send") sent = data.text;
    trigger(event, data);
  }

  function send(text, turn = null) {
    const request = text.trim();
    if (request) raise("send", { text: request, turn });
  }

  function turnOf(id) {
    return current ? current.turns.find((turn) => turn.id === id) : undefined;
  }

  function answerOf(turn) {
    return [...turn.steps].reverse().map((step) => step.text).find(Boolean) || "";
  }

  async function copy(button) {
    const turn = turnOf(button.dataset.turn);
    if (!turn) return;
    try {
      await navigator.clipboard.writeText(answerOf(turn));
    } catch {
      copyByHand(answerOf(turn)); // no clipboard without https
    }
    button.dataset.done = "true";
    setTimeout(() => delete button.dataset.done, 1500);
  }

  function copyByHand(text) {
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }

  async function undo() {
    const last = current && current.turns.at(-1);
    await raise("undo");
    if (last && !box().value.trim()) write(last.text);
  }

  function drop(id) {
    forget(KEPT + id);
    if (current && current.id === id) raise("open", { conversation: null });
    list();
  }

  function clear(button) {
    if (button.dataset.sure !== "true") {
      button.dataset.sure = "true";
      setTimeout(() => delete button.dataset.sure, 4000);
      return;
    }
    delete button.dataset.sure;
    kept().forEach(({ conversation }) => forget(KEPT + conversation.id));
    raise("open", { conversation: null });
    list();
  }

  function menu(open = root.dataset.menu !== "open") {
    root.dataset.menu = open ? "open" : "closed";
    find("[data-act=menu]").setAttribute("aria-expanded", String(open));
  }

  function show(conversation) {
    menu(false);
    edit(null);
    raise("open", { conversation });
  }

  const acts = {
    send: () => send(box().value, editing),
    stop: () => trigger("stop", {}),
    example: (button) => send(button.dataset.text),
    retry: () => raise("retry"),
    reroute: (button) => raise("reroute", { task: button.dataset.task }),
    undo,
    copy,
    like: (button) => raise("rate", { turn: button.dataset.turn, act: "like" }, false),
    dislike: (button) => raise("rate", { turn: button.dataset.turn, act: "dislike" }, false),
    edit: (button) => {
      const turn = turnOf(button.dataset.turn);
      if (!turn) return;
      edit(turn.id);
      write(turn.text);
    },
    cancel: () => {
      edit(null);
      write("");
    },
    fresh: () => show(null),
    open: (button) => {
      const value = load(KEPT + button.dataset.id, null);
      if (value) show(value.conversation);
    },
    forget: (button) => drop(button.dataset.id),
    clear,
    menu: () => menu(),
    theme: nextTheme,
    language: (button) => {
      save("patchbay.language", button.dataset.language);
      speak();
    },
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-act]");
    if (button && acts[button.dataset.act]) {
      event.preventDefault();
      acts[button.dataset.act](button);
    } else if (root.dataset.menu === "open" && !event.target.closest(".pb-list")) {
      menu(false);
    }
  });

  // Enter that ends an input method's composition belongs to the input method. Safari reports it
  // after the composition has ended, with the old key code 229.
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && root.dataset.menu === "open") menu(false);
    if (event.target.id !== "pb-text" || event.key !== "Enter" || event.shiftKey) return;
    if (event.isComposing || event.keyCode === 229) return;
    event.preventDefault();
    if (!waiting) acts.send();
  });

  document.addEventListener("input", (event) => {
    if (event.target.id === "pb-text") resize();
  });
  document.addEventListener("submit", (event) => {
    if (event.target.closest(".pb-composer")) event.preventDefault();
  });
  addEventListener("storage", list); // another tab kept or deleted one
  system.addEventListener("change", paint);

  function start() {
    paint();
    speak();
    // Gradio sets its own colours once, when it has mounted.
    new MutationObserver(() => {
      const dark = root.style.colorScheme === "dark";
      if (document.body.classList.contains("dark") !== dark) paint();
    }).observe(document.body, { attributes: true, attributeFilter: ["class"] });
  }

  if (document.body) start();
  else document.addEventListener("DOMContentLoaded", start);

  return {
    connect: (raise) => {
      trigger = raise;
    },
    remember,
    ready,
    idle,
  };
})();
