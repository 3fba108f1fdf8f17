// What a visitor attaches: files by button, drop or paste, and long pastes, each a chip above the
// composer until it is sent. The server reads a file and gives its blocks back; they are kept here.
const patchbayFiles = (() => {
  const LONG = 2000; // characters of a paste from which it becomes a chip, and never enters the box
  const EDITABLE = 50000; // characters beyond Latin that a box lays out at once: their font is
  // another than the page's, and Chromium's time for that grows with the square of their number
  const MOST = 20000000; // bytes; see documents/limits.py
  const find = (selector) => document.querySelector(selector);

  const editable = (text) => text.replace(/[\0-\u024f]/g, "").length <= EDITABLE;

  let items = []; // {file, pasted, state, answer, error}
  let line = Promise.resolve(); // ends when the last of them is read
  let changed = () => {};

  function size(bytes) {
    const units = ["B", "KB", "MB", "GB"];
    let step = 0;
    while (bytes >= 1000 && step < 3) [bytes, step] = [bytes / 1000, step + 1];
    return `${step && bytes < 10 ? bytes.toFixed(1) : Math.round(bytes)} ${units[step]}`;
  }

  // As documents/names.py has it, until that has told: no path, no marks that turn the writing.
  const shown = (name) => name.split(/[\\/]/).pop().replace(/\p{C}/gu, "");

  function draw(differs = true) {
    const list = find(".pb-composer .pb-files");
    if (!list) return;
    list.hidden = items.length === 0;
    list.replaceChildren(...items.map(chip));
    changed(differs);
  }

  // A sentence in both languages; the style sheet shows one.
  function both(said) {
    return ["en", "zh"].map((language) => {
      const span = document.createElement("span");
      span.lang = language;
      span.textContent = `${said[language]} `;
      return span;
    });
  }

  const told = (key) => JSON.parse(find("#pb-file").dataset.told)[key];

  function chip(item) {
    const row = find("#pb-file").content.cloneNode(true).firstElementChild;
    const { document: read, tokens } = item.answer || {};
    row.dataset.state = item.state;
    row.dataset.pasted = String(item.pasted !== null);
    row.querySelector(".pb-name").textContent = read ? read.name : shown(item.file.name);
    row.querySelector(".pb-size").textContent = size(item.file.size);
    row.querySelector(".pb-fault").append(...(item.error ? both(item.error) : []));
    // A chip of an earlier version has its notes in English only.
    const { notes: told } = item.answer || {};
    const notes = told?.length ? told : (read?.notes || []).map((note) => ({ en: note, zh: note }));
    row.querySelector(".pb-remarks").append(...notes.flatMap(both));
    for (const [name, value] of [["pages", read && read.pages], ["tokens", tokens]]) {
      const fact = row.querySelector(`.pb-${name}`);
      fact.hidden = !value;
      fact.querySelector("b").textContent = value ? value.toLocaleString("en") : "";
    }
    for (const button of row.querySelectorAll("[data-act]")) button.dataset.at = items.indexOf(item);
    return row;
  }

  function add(file, pasted = null) {
    const item = { file, pasted, state: "reading", answer: null, error: "" };
    items.push(item);
    draw();
    line = line.then(() => items.includes(item) && read(item, file)); // one after the other
  }

  async function read(item, file) {
    try {
      if (file.size > MOST) return failed(item, told("large"));
      const answer = await fetch("gradio_api/attach", {
        method: "POST",
        headers: { "X-File-Name": encodeURIComponent(file.name.toWellFormed?.() ?? file.name) },
        body: file,
      });
      const read = await answer.json().catch(() => ({}));
      if (!answer.ok) return failed(item, read.error?.en ? read.error : told(answer.status === 413 ? "large" : "lost"));
      const original = patchbayOriginals.writable(read.document) ? await patchbayOriginals.keep(file) : "";
      Object.assign(item, { state: "ready", answer: { ...read, original } });
      draw();
    } catch {
      failed(item, told("lost")); // nobody is there
    }
  }

  function failed(item, error) {
    Object.assign(item, { state: "failed", error });
    draw();
  }

  function paste(text) {
    add(new File([text], find("#pb-file").dataset.pasted, { type: "text/plain" }), text);
  }

  // A chip's text goes back into the box, where it can be changed.
  function unpack(at, into) {
    const item = items[at];
    if (!item || item.pasted === null) return;
    if (!editable(item.pasted)) {
      item.error = told("long");
      draw();
      return;
    }
    items.splice(at, 1);
    draw();
    into(item.pasted);
  }

  function detach(at) {
    items.splice(at, 1);
    draw();
  }

  // What goes with a request. A paste that comes with no words of its own is the request.
  function taken(words) {
    const alone = !words && items.length > 0 && items.every((item) => item.pasted !== null);
    if (alone) return { text: items.map((item) => item.pasted).join("\n\n"), attached: [] };
    return { text: words, attached: items.map((item) => item.answer) };
  }

  // Whether it can be sent: read, and with words unless all of it was pasted.
  function complete(words) {
    if (!words) return items.length > 0 && items.every((item) => item.pasted !== null);
    return items.every((item) => item.state === "ready");
  }

  // Those of a draft; what was being read when the page went away is read again.
  function put(kept) {
    items = kept;
    draw(false);
    for (const item of items.filter(({ state }) => state === "reading")) {
      line = line.then(() => items.includes(item) && read(item, item.file));
    }
  }

  // Those of an earlier request, to be sent again with its changed words; what goes into the box.
  function restore(attached, words = "") {
    items = attached.map((answer) => ({
      file: { name: answer.document.name, size: answer.document.size || 0 },
      pasted: null,
      state: "ready",
      answer,
      error: "",
    }));
    draw();
    if (editable(words)) return words;
    paste(words);
    return "";
  }

  function caught(transfer, event, box) {
    const files = [...(transfer ? transfer.files : [])];
    const text = transfer ? transfer.getData("text/plain") : "";
    if (files.length && !text) {
      event.preventDefault();
      files.forEach((file) => add(file));
    } else if (box && text.length > LONG) {
      event.preventDefault();
      paste(text);
    }
  }

  document.addEventListener(
    "paste",
    (event) => caught(event.clipboardData, event, event.target.id === "pb-text"),
    true,
  );
  const carries = (event) => [...event.dataTransfer.types].includes("Files");
  document.addEventListener("dragover", (event) => {
    if (!carries(event)) return;
    event.preventDefault();
    document.documentElement.dataset.dragging = "true";
  });
  document.addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) delete document.documentElement.dataset.dragging;
  });
  document.addEventListener(
    "drop",
    (event) => {
      delete document.documentElement.dataset.dragging;
      if (carries(event)) event.preventDefault();
      caught(event.dataTransfer, event, event.target.id === "pb-text");
    },
    true,
  );
  document.addEventListener("change", (event) => {
    if (event.target.id !== "pb-pick") return;
    [...event.target.files].forEach((file) => add(file));
    event.target.value = "";
  });

  return {
    taken,
    told,
    both,
    complete,
    unpack,
    detach,
    restore,
    put,
    items: () => items,
    clear: () => void restore([]),
    has: () => items.length > 0,
    onchange: (call) => (changed = call),
  };
})();
