// Ratings. Disliking an answer opens a form that asks what was wrong, and for a better answer; it
// can be left as it is.
const patchbayBetter = (() => {
  const { raise, drawn } = patchbayRunning;
  const rate = (turn, act, words = {}) =>
    raise("rate", { turn, act, ...words, ...patchbayConsent.said() }, { stops: false });
  const formOf = (turn) => document.querySelector(`.pb-better form[data-turn="${turn}"]`);

  async function dislike(button) {
    const { turn } = button.dataset;
    const takesBack = button.getAttribute("aria-pressed") === "true";
    await rate(turn, "dislike");
    if (takesBack) return;
    const form = await drawn(() => formOf(turn));
    if (!form) return; // it could not be stored, which was said
    form.parentElement.open = true;
    form.elements.wrong.focus();
    form.scrollIntoView({ block: "nearest" });
  }

  function close(inside) {
    const details = inside.closest(".pb-better");
    details.open = false;
    details.querySelector("summary").focus();
  }

  async function keep(form) {
    const { turn } = form.dataset;
    const { wrong, better } = form.elements;
    const given = { wrong: wrong.value, better: better.value };
    if (given.wrong === wrong.defaultValue && given.better === better.defaultValue) return close(form);
    await rate(turn, "explain", given);
    const kept = await drawn(() => {
      const now = formOf(turn);
      return now?.elements.better.defaultValue === given.better.trim() &&
        now.elements.wrong.defaultValue === given.wrong.trim() ? now : null;
    });
    if (kept) close(kept);
  }

  document.addEventListener("submit", (event) => {
    if (!event.target.closest(".pb-better")) return;
    event.preventDefault();
    keep(event.target);
  });

  document.addEventListener("keydown", (event) => {
    if (!event.target.closest(".pb-better") || event.isComposing || event.keyCode === 229) return;
    if (event.key === "Escape" && event.target.closest(".pb-better").open) {
      event.stopImmediatePropagation(); // else it would stop an answer
      close(event.target);
    } else if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && event.target.form) {
      event.target.form.requestSubmit();
    }
  });

  return {
    acts: { like: (button) => rate(button.dataset.turn, "like"), dislike, close },
  };
})();
