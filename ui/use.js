// Which adapter answers a task in this conversation: a select for each task, kept with it.
const patchbayUse = (() => {
  const AUTOMATIC = "auto"; // no name of an adapter: those that follow "use:" are
  const selects = () => [...document.querySelectorAll(".pb-use select")];

  function show(use) {
    for (const select of selects()) {
      const name = use[select.dataset.task];
      const value = name === undefined ? AUTOMATIC : `use:${name}`;
      if (![...select.options].some((option) => option.value === value)) {
        select.add(new Option(name, value)); // it is no longer here, and was chosen
      }
      select.value = value;
    }
  }

  const chosen = () =>
    Object.fromEntries(
      selects()
        .filter((select) => select.value !== AUTOMATIC)
        .map((select) => [select.dataset.task, select.value.slice("use:".length)]),
    );

  return { show, chosen, some: () => Object.keys(chosen()).length > 0 };
})();
