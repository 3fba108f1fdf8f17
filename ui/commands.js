// The commands that a slash at the beginning of a request offers. They stand in the page; this shows
// those that fit what is typed. The focus stays in the box, as ARIA's listbox pattern has it.
const patchbayCommands = (() => {
  const find = (selector) => document.querySelector(selector);
  const box = () => find("#pb-text");
  const list = () => find("#pb-commands");
  const TYPED = /^[/／、](\S*)$/; // an input method for Chinese makes one of these of the slash key

  let dismissed = false; // by Escape, until the slash is gone

  const found = () => [...list().querySelectorAll("[role=option]:not([hidden])")];
  const active = () => list().querySelector("[aria-selected=true]");
  const names = (option) => option.dataset.names.split(" ");
  const titles = (option) => [...option.querySelector("strong").children].map((one) => one.textContent);

  function fits(option, word) {
    const within = word.length > 1 || /\P{ASCII}/u.test(word); // one letter is in nearly every name
    return [...names(option), ...titles(option)]
      .map((name) => name.toLowerCase())
      .some((name) => name.startsWith(word) || (within && name.includes(word)));
  }

  const before = () => box().value.slice(0, box().selectionStart); // the caret
  const behind = () => box().value.slice(box().selectionStart);

  // What stands between a slash at the beginning and the caret; null where that is no word.
  function typed() {
    const match = TYPED.exec(before());
    return match && match[1].toLowerCase();
  }

  function look() {
    const word = typed();
    if (word === null) dismissed = false;
    for (const option of list().children) option.hidden = word === null || !fits(option, word);
    if (dismissed || !found().length) return hide();
    list().hidden = false;
    find(".pb-found").hidden = false;
    find(".pb-found b").textContent = found().length;
    const named = (test) => found().find((option) => names(option).some(test));
    select(named((name) => name === word) || named((name) => name.startsWith(word)) || found()[0]);
  }

  function select(option) {
    active()?.setAttribute("aria-selected", "false");
    option.setAttribute("aria-selected", "true");
    option.scrollIntoView({ block: "nearest" });
    box().setAttribute("aria-activedescendant", option.id);
  }

  function hide() {
    active()?.setAttribute("aria-selected", "false");
    list().hidden = true;
    find(".pb-found").hidden = true;
    box().removeAttribute("aria-activedescendant");
  }

  function close() {
    dismissed = false;
    hide();
  }

  function move(by) {
    const options = found();
    select(options[(options.indexOf(active()) + by + options.length) % options.length]);
  }

  // The request with an option's command in place of what was typed of it.
  function written(option) {
    return `/${names(option)[0]} ${behind().trimStart()}`;
  }

  const acts = {
    ArrowDown: () => move(1),
    ArrowUp: () => move(-1),
    Tab: () => active().click(),
    Enter: () => active().click(),
    Escape: () => {
      hide();
      dismissed = true;
    },
  };

  // Whether a key is for the list. A command that stands there in full is sent by Enter as ever.
  function takes(event) {
    const held = event.shiftKey || event.ctrlKey || event.metaKey || event.altKey;
    if (list().hidden || held || !acts[event.key]) return false;
    const whole = before().startsWith("/") && names(active()).includes(typed()) && !/^\S/.test(behind());
    if (typed() === null || (whole && event.key === "Enter")) {
      hide();
      return false;
    }
    event.preventDefault();
    acts[event.key]();
    return true;
  }

  // A press must not take the focus out of the box, for that closes the list.
  document.addEventListener("mousedown", (event) => {
    if (event.target.closest("#pb-commands")) event.preventDefault();
  });
  document.addEventListener("mousemove", (event) => {
    const option = event.target.closest("#pb-commands [role=option]");
    const moved = event.movementX || event.movementY; // not: the list opened under the pointer
    if (option && moved && option !== active()) select(option);
  });
  document.addEventListener("focusout", (event) => {
    if (event.target.id === "pb-text") hide();
  });

  return { look, close, written, takes };
})();
