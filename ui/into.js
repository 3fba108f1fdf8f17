// The language of an answer that is asked for anew: a choice that opens at a skill's name.
const patchbayInto = (() => {
  document.addEventListener("toggle", ({ target }) => {
    if (!target.matches?.(".pb-into") || !target.open) return;
    patchbayLooks.speak(); // options come with an answer, and hold no markup
    target.querySelector("select").focus();
  }, true); // it does not bubble

  // Slot values that go with what was pressed.
  function slots(button) {
    const select = button.closest(".pb-into")?.querySelector("select");
    return select ? { [select.dataset.slot]: select.value } : {};
  }

  return { slots };
})();
