// The workshop: what is pressed goes to the server with what is shown, which draws the tab anew.
const patchbayWorkshop = (() => {
  const EVERY = 2000; // ms between two looks at a job that runs
  let raise = null;
  let doing = null; // what the server is at work on
  let asked = null; // which drawing it was asked from
  let coming = {}; // what is shown when it is done
  let next = null; // what is done after that
  let row = null; // id of the row that is under review

  const panel = () => document.querySelector(".pb-workshop");
  // A second press while a tab is being drawn is for that tab.
  const view = () => (doing === "look" ? { ...coming } : JSON.parse(panel()?.dataset.view ?? "{}"));
  const card = () => document.querySelector(".pb-review");
  const form = () => card()?.querySelector("form");
  const typing = (element) => element?.closest("textarea, input:not([type=radio], [type=checkbox]), select");

  // Values of `data-set-NAME` change what is shown.
  function changed(element) {
    const shown = view();
    for (const [name, value] of Object.entries(element.dataset)) {
      if (name.startsWith("set")) shown[name.slice(3).toLowerCase()] = value;
    }
    return shown;
  }

  // What is pressed while the server is at work is done after it, unless it is for what that work is
  // about to change: Enter twice is not meant for a row that nobody has seen.
  function act(data, shown = view()) {
    if (!raise) return;
    const drawing = panel()?.dataset.drawing;
    if (doing) {
      if (doing === "look" || drawing !== asked) next = [data, shown];
      return;
    }
    doing = data.do;
    asked = drawing;
    coming = shown;
    panel()?.setAttribute("aria-busy", "true");
    raise({ ...data, view: shown });
  }

  // What was chosen or typed for another row stays in fields that Gradio only changes.
  function settle() {
    if (row === form()?.dataset.id) return;
    form()?.reset();
    row = form()?.dataset.id;
  }

  function done() {
    doing = null;
    panel()?.removeAttribute("aria-busy");
    settle();
    patchbayLooks.speak(); // names of what was drawn anew
    const then = next;
    next = null;
    if (then) act(...then);
  }

  function fields(element, button) {
    const data = {};
    for (const [name, value] of new FormData(element, button)) {
      data[name] = name in data ? [data[name], value].flat() : value;
    }
    return data;
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-do]");
    if (!button) return;
    if (event.detail) button.blur(); // pressed by pointer: Enter is for the row then
    const { do: what, id, job, task, choice, rater } = button.dataset;
    act({ do: what, id, job, task, choice, rater }, changed(button));
  });

  // The server makes a file, which takes a while, or says why not.
  async function save(button) {
    const [fault, lost, waiting] = ["pb-save-fault", "pb-lost", "pb-making"].map((name) =>
      button.closest("section").querySelector(`.${name}`));
    fault.replaceChildren();
    [button.disabled, waiting.hidden, lost.hidden] = [true, false, true];
    const answer = await fetch(button.dataset.save, { method: "POST" }).catch(() => null);
    if (answer?.ok) patchbaySave(await answer.blob(), button.dataset.name);
    else if (answer?.headers.get("Content-Type").startsWith("text/html")) fault.innerHTML = await answer.text();
    else lost.hidden = false;
    [button.disabled, waiting.hidden] = [false, true];
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-save]");
    if (button) save(button);
  });

  document.addEventListener("submit", (event) => {
    const element = event.target.closest("form[data-do]");
    if (!element) return;
    event.preventDefault();
    act({ do: element.dataset.do, id: element.dataset.id, job: element.dataset.job,
      ...fields(element, event.submitter) });
  });

  document.addEventListener("keydown", (event) => {
    if (!card() || event.ctrlKey || event.metaKey || event.altKey) {
      if (form() && event.key === "Enter" && (event.ctrlKey || event.metaKey)) form().requestSubmit();
      return;
    }
    const inside = typing(event.target);
    if (event.key === "Escape" && inside) return void inside.blur();
    if (inside || event.repeat) return; // a key that is held decides one row
    if (event.target.closest("button, summary, a") && event.key === "Enter") return;
    const key = event.key.toLowerCase();
    const button = [...card().querySelectorAll("[data-key]")].find((one) => one.dataset.key.split(" ").includes(key));
    const choice = /^[1-9]$/.test(key) && card().querySelectorAll("input[type=radio]")[Number(key) - 1];
    if (button) button.click();
    else if (choice) choice.checked = true;
    else if (key === "enter") form()?.requestSubmit();
    else if (key === "e") form()?.querySelector("textarea")?.focus();
    else return;
    event.preventDefault();
  });

  setInterval(() => {
    const live = document.querySelector(".pb-job[data-live=true]");
    if (live && !doing && !typing(document.activeElement) && !document.hidden) act({ do: "look" });
  }, EVERY);

  // An answer's route leads here by the name of its adapter.
  function begin() {
    patchbayLooks.speak();
    // Before the next key, which may come before the server says that it is done.
    new MutationObserver(settle).observe(document.body,
      { subtree: true, childList: true, attributes: true, attributeFilter: ["data-id"] });
    document.documentElement.dataset.ready = "true";
    const adapter = decodeURIComponent(location.hash.slice(1));
    if (adapter) act({ do: "look" }, { ...view(), tab: "judge", adapter });
  }

  return { connect: (call) => (raise = call), begin, done };
})();
