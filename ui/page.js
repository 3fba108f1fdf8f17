// The page's own behaviour: the list of conversations, the composer, and one way in (`acts`) for
// everything a visitor presses. Answers are drawn by Python; the bridge carries what was pressed
// there and the conversation back.
window.patchbay = (() => {
  const root = document.documentElement;
  const find = (selector) => document.querySelector(selector);
  const { forget, keep, all } = patchbayStore;
  const { speak, choose, nextTheme } = patchbayLooks;
  const files = patchbayFiles;
  const commands = patchbayCommands;

  let trigger = null; // Gradio's way to raise an event of the bridge
  let current = null; // the conversation that is open
  let waiting = null; // resolves when what runs has come to rest
  let sent = null; // text that was sent and not yet taken up
  let editing = null; // the turn that the composer's text replaces

  // --- conversations -----------------------------------------------------------------------
  function list() {
    const chats = find(".pb-chats");
    if (!chats) return;
    const kept = all();
    find(".pb-list").dataset.empty = String(kept.length === 0);
    chats.replaceChildren(
      ...kept.map((conversation) => {
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
      complain("full", !keep(current));
      if (sent !== null && current.turns.some((turn) => turn.text === sent)) accepted();
    }
    list();
    patchbayUse.show((conversation && conversation.use) || {});
    dictate((conversation && conversation.instructions) || "");
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
    const words = area.value.trim();
    find(".pb-send").disabled = !files.complete(words);
    find(".pb-wish").hidden = !files.has() || words !== "" || files.complete(words);
  }

  function write(text) {
    box().value = text;
    commands.close();
    resize();
    box().focus();
  }

  function edit(id) {
    editing = id;
    find(".pb-editing").hidden = id === null;
  }

  function accepted() {
    if (box().value.trim() === sent) write("");
    files.clear();
    sent = null;
    edit(null);
  }

  function complain(what, shown) {
    const problem = find(".pb-problem");
    if (!problem) return;
    if (shown) problem.dataset.what = what;
    if (shown || problem.dataset.what === what) problem.hidden = !shown;
  }

  // --- instructions: the person's own system prompt, kept with the conversation ---------------
  function dictate(text) {
    const area = find("#pb-own");
    if (document.activeElement !== area) area.value = text;
    find(".pb-own").dataset.set = String(text.trim() !== "" || patchbayUse.some());
  }

  const instruct = (conversation) => ({
    ...conversation,
    instructions: find("#pb-own").value,
    use: patchbayUse.chosen(),
  });

  // --- running -----------------------------------------------------------------------------
  function begin(answers) {
    if (answers) root.dataset.busy = "true";
    let rest;
    waiting = new Promise((resolve) => (rest = resolve));
    waiting.rest = rest;
    watch(waiting);
  }

  // Gradio says nothing when the server goes away, or starts anew, in the middle of an answer.
  async function watch(mine) {
    const server = () => fetch("gradio_api/app_id").then((is) => is.text(), () => null);
    const started = await server();
    while (waiting === mine) {
      await new Promise((wake) => setTimeout(wake, 3000));
      const now = await server();
      if (waiting === mine && (now === null || now !== started)) idle(true);
    }
  }

  function idle(lost = sent !== null) {
    delete root.dataset.busy;
    complain("lost", lost);
    complain("long", false);
    sent = null;
    if (waiting) waiting.rest();
    waiting = null;
  }

  // Nor does it say anything when an event is refused, by the server or a proxy before it.
  const ask = window.fetch;
  window.fetch = async (...request) => {
    const answer = await ask(...request);
    if (!answer.ok && new URL(answer.url).pathname.endsWith("/queue/join")) refused(answer.status);
    return answer;
  };

  function refused(status) {
    idle(status !== 413);
    complain("long", status === 413);
  }

  // Raise an event of the bridge, one at a time: what runs is stopped (or waited for) first.
  async function raise(event, data = {}, stops = true) {
    if (waiting && stops) trigger("stop", {});
    while (waiting) await waiting;
    begin(["send", "retry", "reroute", "pick", "more"].includes(event));
    if (event === "send") sent = data.text;
    trigger(event, data);
  }

  function send(request, turn = null) {
    if (!request.text || root.dataset.busy) return;
    commands.close();
    root.dataset.busy = "true"; // also while a moment's other work ends: a second Enter is one too many
    raise("send", { ...request, turn });
  }

  function sendBox() {
    const words = box().value.trim();
    if (files.complete(words)) send(files.taken(words), editing);
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
    if (!last || box().value.trim() || files.has()) return;
    write(files.restore(last.attached || [], last.text));
  }

  function drop(id) {
    forget(id);
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
    all().forEach(({ id }) => forget(id));
    raise("open", { conversation: null });
    list();
  }

  function menu(open = root.dataset.menu !== "open") {
    root.dataset.menu = open ? "open" : "closed";
    find("[data-act=menu]").setAttribute("aria-expanded", String(open));
  }

  function escape() {
    menu(false);
    const open = find(".pb-under details[open]");
    if (!open) return;
    open.open = false;
    open.querySelector("summary").focus();
  }

  function show(conversation) {
    menu(false);
    edit(null);
    raise("open", { conversation });
  }

  // Another tab kept or deleted a conversation. Where it is the one shown here, take up its turns,
  // or the next request from here would undo them.
  function follow({ key, newValue }) {
    list();
    if (!current || waiting || !newValue || key !== patchbayStore.keyOf(current.id)) return;
    const { conversation } = JSON.parse(newValue);
    if (conversation.turns.at(-1).status !== "running") raise("open", { conversation });
  }

  const acts = {
    send: sendBox,
    attach: () => find("#pb-pick").click(),
    unpack: (button) => files.unpack(Number(button.dataset.at), (text) => write(`${box().value}${text}`)),
    detach: (button) => files.detach(Number(button.dataset.at)),
    stop: () => trigger("stop", {}),
    example: (button) => send({ text: button.dataset.text, attached: [] }),
    retry: () => raise("retry"),
    more: () => raise("more"),
    reroute: (button) => raise("reroute", { task: button.dataset.task }),
    pick: (button) => raise("pick", { tasks: button.dataset.tasks }),
    undo,
    copy,
    like: (button) => raise("rate", { turn: button.dataset.turn, act: "like" }, false),
    dislike: (button) => raise("rate", { turn: button.dataset.turn, act: "dislike" }, false),
    edit: (button) => {
      const turn = turnOf(button.dataset.turn);
      if (!turn) return;
      edit(turn.id);
      write(files.restore(turn.attached || [], turn.text));
    },
    cancel: () => {
      edit(null);
      files.clear();
      write("");
    },
    fresh: () => show(null),
    command: (option) => write(commands.written(option)),
    open: (button) => {
      const conversation = patchbayStore.open(button.dataset.id);
      if (conversation) show(conversation);
    },
    forget: (button) => drop(button.dataset.id),
    clear,
    menu: () => menu(),
    theme: nextTheme,
    language: (button) => choose(button.dataset.language),
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-act]");
    if (button && acts[button.dataset.act]) {
      event.preventDefault();
      acts[button.dataset.act](button);
    } else if (root.dataset.menu === "open" && !event.target.closest(".pb-list")) {
      menu(false);
    }
    for (const open of document.querySelectorAll(".pb-under details[open]")) {
      if (!open.contains(event.target)) open.open = false;
    }
  });

  // Enter that ends an input method's composition belongs to the input method. Safari reports it
  // after the composition has ended, with the old key code 229.
  document.addEventListener("keydown", (event) => {
    if (event.isComposing || event.keyCode === 229) return;
    const writing = event.target.id === "pb-text";
    if (writing && commands.takes(event)) return;
    if (event.key === "Escape") escape();
    if (!writing || event.key !== "Enter" || event.shiftKey) return;
    event.preventDefault();
    acts.send();
  });

  document.addEventListener("input", (event) => {
    if (event.target.id !== "pb-text") return;
    resize();
    commands.look();
  });
  document.addEventListener("change", (event) => {
    if (event.target.closest(".pb-own")) raise("instruct", {}, false);
  });
  document.addEventListener("submit", (event) => {
    if (event.target.closest(".pb-composer")) event.preventDefault();
  });
  addEventListener("storage", follow);
  files.onchange(resize);

  return {
    connect: (raise) => {
      trigger = raise;
    },
    remember,
    ready,
    instruct,
    idle,
  };
})();
