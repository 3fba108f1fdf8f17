// The page's own behaviour: the list of conversations, the composer, and one way in (`acts`) for
// everything a visitor presses. Answers are drawn by Python; the bridge carries what was pressed
// there and the conversation back.
window.patchbay = (() => {
  const root = document.documentElement;
  const find = (selector) => document.querySelector(selector);
  const { speak, choose, nextTheme } = patchbayLooks;
  const versions = patchbayVersions;
  const drafts = patchbayDrafts;
  const files = patchbayFiles;
  const commands = patchbayCommands;
  const { beside, besides, download } = patchbayBeside;
  const chats = patchbayChats;
  const running = patchbayRunning;
  const { raise, rested } = running;
  const DRAWN = 30; // turns at once; see conversation.py
  const OPEN = ".pb-under details[open], .pb-more[open], .pb-into[open]"; // what Escape closes

  let current = versions.fresh(); // the conversation that is open
  let drawn = DRAWN; // so many of its last turns
  const unfolded = {}; // turn -> how often more of its long answer was asked for
  let sent = null; // text that was sent and not yet taken up
  let editing = null; // the turn that the composer's text replaces

  // --- the conversation ----------------------------------------------------------------------
  const path = () => versions.path(current);

  // What the server is given of it with every event. For an answer it reads all turns.
  function shown() {
    const turns = path();
    const unsent = running.answers() ? 0 : Math.max(0, turns.length - drawn);
    const sent = turns.slice(unsent).map((turn) => ({ ...turn, unfolded: unfolded[turn.id] || 0 }));
    return { ...current, chosen: undefined, drawn, unsent, turns: sent };
  }

  // A turn comes back: when it is taken up, now and then, and when it is answered.
  function take(changed) {
    if (!changed || changed.conversation !== current.id) return;
    const begun = current.turns.length > 0;
    versions.put(current, changed.turn);
    if (sent !== null && changed.turn.text === sent) accepted();
    if (!begun) address();
    if (decided(changed.turn)) delete root.dataset.busy;
    keep();
  }

  // The bars are there, and what is still at work only says which words carried the decision.
  const decided = ({ steps }) => steps.length > 0 && steps.every(({ status }) => status === "done");

  async function keep(how) {
    const mine = current;
    const stored = await patchbayStore.keep(mine, how);
    complain("full", !stored);
    if (stored && current === mine && !running.runs()) current = stored;
    chats.refresh();
  }

  const redraw = () => raise("open", {}, { stops: false });

  // Show a conversation: what is drawn of it, and what was being written there.
  function show(conversation, visits = true) {
    menu(false);
    setDown();
    return raise("open", {}, {
      first: () => {
        current = conversation;
        drawn = DRAWN;
        takeUp();
        address(visits);
        patchbayScroll.begin();
      },
    });
  }

  function address(visits = false) {
    const begun = current.turns.length > 0;
    const there = begun ? `#${current.id}` : location.pathname + location.search;
    if (begun ? location.hash !== there : location.hash) {
      history[visits ? "pushState" : "replaceState"](null, "", there);
    }
    drafts.showing(current.id, begun);
    chats.mark(current.id);
  }

  // The one that is not begun, and may have a draft; a new one where another tab has begun it.
  async function unbegun() {
    const id = drafts.fresh();
    return versions.fresh(id && !(await patchbayStore.open(id)) ? id : versions.newId());
  }

  async function open(id, visits = true) {
    if (id === current.id) return menu(false);
    const conversation = await patchbayStore.open(id);
    if (conversation) show(conversation, visits);
    else chats.tell("absent");
  }

  async function fresh() {
    if (current.turns.length) await show(await unbegun());
    else menu(false);
    box().focus();
  }

  const addressed = () => decodeURIComponent(location.hash.slice(1));

  // When the page is there. `before` is what an earlier version had open.
  async function start(before) {
    speak();
    await patchbayStore.migrate(before);
    const wanted = addressed() || drafts.last() || (before && before.id);
    const conversation = wanted && (await patchbayStore.open(wanted));
    if (!conversation && addressed()) chats.tell("absent");
    const typed = box().value;
    await show(conversation || (await unbegun()), false);
    if (typed) write(typed);
    patchbayScroll.watch();
    chats.refresh();
    showDoor();
    await rested();
    root.dataset.ready = "true";
    resize();
    if (!matchMedia("(pointer: coarse)").matches) box().focus(); // a phone would open its keyboard
  }

  // The way to what belongs to the owner alone; nobody else is shown one.
  async function showDoor() {
    const answer = await fetch("workshop-door").catch(() => null);
    if (answer?.ok && (await answer.json()).open) root.dataset.owner = "true";
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

  // What is being written is kept as a draft of this conversation.
  function setDown() {
    const { instructions, use, wishes } = current.turns.length ? {} : current;
    const draft = { text: box().value, editing, instructions, use, wishes };
    if (!drafts.write(current.id, draft)) complain("full", true);
  }

  async function takeUp() {
    const { id } = current;
    const draft = drafts.read(id) || {};
    if (draft.instructions) current.instructions = draft.instructions;
    if (draft.use) current.use = draft.use;
    if (draft.wishes) current.wishes = draft.wishes;
    patchbayUse.show(current.use || {});
    patchbayWishes.show(current.wishes || {});
    dictate(current.instructions);
    edit(versions.find(current, draft.editing) ? draft.editing : null);
    files.put([]);
    write(draft.text || "", false);
    const items = await drafts.files(id);
    if (items && id === current.id && !files.has()) files.put(items);
  }

  function write(text, focus = true) {
    box().value = text;
    commands.close();
    resize();
    if (focus) box().focus();
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
    setDown();
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
    find(".pb-own").dataset.set = String(text.trim() !== "" || patchbayUse.some() || patchbayWishes.some());
  }

  function instruct() {
    current.instructions = find("#pb-own").value;
    current.use = patchbayUse.chosen();
    current.wishes = patchbayWishes.chosen();
    dictate(current.instructions);
    if (current.turns.length) keep();
    else setDown();
  }

  // --- what is pressed -----------------------------------------------------------------------
  running.onend((fault) => {
    complain("lost", fault === "lost" || (!fault && sent !== null));
    complain("long", fault === "long");
    sent = null;
  });

  function send(request, turn = null) {
    if (!request.text || root.dataset.busy) return;
    commands.close();
    root.dataset.busy = "true"; // also while a moment's other work ends: a second Enter is one too many
    raise("send", { ...request, turn }, { first: () => (sent = request.text) });
  }

  function sendBox() {
    const words = box().value.trim();
    if (files.complete(words)) send(files.taken(words), editing);
  }

  const turnOf = (id) => versions.find(current, id);

  // What is drawn can be a moment ahead of what is known of it here.
  async function turnWithBlocks({ dataset: { turn, step } }) {
    if (!turnOf(turn)?.steps[step]?.blocks) await rested();
    return turnOf(turn)?.steps[step]?.blocks ? turnOf(turn) : null;
  }

  // The last request and its answer are taken back: to the version before, or into the composer.
  async function undo() {
    const last = path().at(-1);
    if (!last) return;
    await rested();
    const other = versions.remove(current, last);
    keep({ gone: [last.id] });
    await raise("undo", { corrects: last.corrects, ...patchbayConsent.said() });
    if (other || box().value.trim() || files.has()) return;
    write(files.restore(last.attached || [], last.text));
    setDown();
  }

  async function turnOver(button) {
    const turn = turnOf(button.dataset.turn);
    const { by } = button.dataset;
    const row = [...document.querySelectorAll(".pb-actions")].indexOf(button.closest(".pb-actions"));
    await rested();
    versions.step(current, turn, Number(by));
    keep({ known: {} });
    await redraw();
    await rested();
    const there = document.querySelectorAll(".pb-actions")[row];
    there?.querySelector(`[data-act=version][data-by="${by}"]:not(:disabled), [data-act=version]:not(:disabled)`)?.focus();
  }

  async function gone(ids) {
    for (const id of ids) drafts.forget(id);
    if (ids.includes(current.id)) show(await unbegun());
  }

  function menu(open = root.dataset.menu !== "open") {
    root.dataset.menu = open ? "open" : "closed";
    find("[data-act=menu]").setAttribute("aria-expanded", String(open));
  }

  // Leaves what is open, else an edit, else the answer that runs.
  function escape() {
    const open = find(OPEN);
    if (open) {
      open.open = false;
      open.querySelector("summary").focus();
    } else if (root.dataset.menu === "open") {
      menu(false);
      find("[data-act=menu]").focus();
    } else if (editing !== null) {
      acts.cancel();
    } else if (root.dataset.busy) {
      acts.stop();
    }
  }

  // Another tab kept or deleted a conversation. Where it is the one shown here, take up its turns.
  async function follow({ id }) {
    chats.refresh();
    if (id !== current.id || running.runs()) return;
    const conversation = await patchbayStore.open(id);
    if (!conversation || running.runs() || id !== current.id) return;
    if (!current.turns.length) {
      current.id = versions.newId(); // begun there; what is written here is of another one
      drafts.showing(current.id, false);
      setDown();
    } else if (path().at(-1)?.status !== "running" && versions.path(conversation).at(-1)?.status !== "running") {
      current = conversation;
      redraw();
    }
  }

  const acts = {
    send: sendBox,
    attach: () => find("#pb-pick").click(),
    unpack: (button) => files.unpack(Number(button.dataset.at), (text) => write(`${box().value}${text}`)),
    detach: (button) => files.detach(Number(button.dataset.at)),
    stop: running.stop,
    example: (button) => send({ text: button.dataset.text, attached: [] }),
    retry: () => raise("retry"),
    more: () => raise("more"),
    reroute: (button) =>
      raise("reroute", { task: button.dataset.task, slots: patchbayInto.slots(button), ...patchbayConsent.said() }),
    pick: (button) =>
      raise("pick", { tasks: button.dataset.tasks, slots: patchbayInto.slots(button), ...patchbayConsent.said() }),
    undo,
    copy: (button) => turnOf(button.dataset.turn) && patchbayCopy.copy(turnOf(button.dataset.turn), button),
    beside: async (button) => beside(button, await turnWithBlocks(button)),
    besides,
    download: async (button) => download(button, await turnWithBlocks(button)),
    ...patchbayBetter.acts,
    ...patchbayConsent.acts,
    version: turnOver,
    unfold: (button) => {
      const open = button.getAttribute("aria-expanded") !== "true";
      button.setAttribute("aria-expanded", String(open));
      button.nextElementSibling.hidden = !open;
    },
    earlier: () => {
      drawn += DRAWN;
      redraw();
    },
    longer: async ({ dataset: { turn } }) => {
      unfolded[turn] = (unfolded[turn] || 0) + 1;
      await redraw();
      await rested();
      find(`[data-act=longer][data-turn="${turn}"]`)?.focus({ preventScroll: true });
    },
    edit: (button) => {
      const turn = turnOf(button.dataset.turn);
      if (!turn) return;
      edit(turn.id);
      write(files.restore(turn.attached || [], turn.text));
      setDown();
    },
    cancel: () => {
      edit(null);
      files.clear();
      write("");
      setDown();
    },
    exportthis: () => chats.save(current),
    ...chats.acts,
    fresh,
    command: (option) => write(commands.written(option)),
    open: (link) => open(link.closest("li").dataset.id),
    menu: () => menu(),
    theme: nextTheme,
    language: (button) => choose(button.dataset.language),
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-act]");
    if (button && button.href && (event.ctrlKey || event.metaKey || event.shiftKey)) return; // a new tab
    if (button && acts[button.dataset.act]) {
      event.preventDefault();
      acts[button.dataset.act](button);
    } else if (root.dataset.menu === "open" && !event.target.closest(".pb-list")) {
      menu(false);
    }
    for (const open of document.querySelectorAll(OPEN)) {
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
    setDown();
    commands.look();
  });
  document.addEventListener("change", (event) => {
    if (event.target.closest(".pb-own")) instruct();
  });
  document.addEventListener("submit", (event) => {
    if (event.target.closest(".pb-composer")) event.preventDefault();
  });
  addEventListener("popstate", () => {
    if (addressed()) open(addressed(), false);
    else if (current.turns.length) unbegun().then((empty) => show(empty, false));
  });
  patchbayStore.onmessage(follow);
  patchbayOriginals.sweep();
  chats.oncalls({ opened: open, gone });
  files.onchange((differ) => {
    resize();
    if (differ) drafts.keepFiles(current.id, files.items());
  });

  return {
    connect: running.connect,
    shown,
    take,
    start,
    idle: () => running.idle(),
  };
})();
