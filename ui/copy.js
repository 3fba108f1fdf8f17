// Copying the answer of one step, or of all of them.
const patchbayCopy = (() => {
  const answer = ({ steps }, step) =>
    step ? steps[step].text : steps.map(({ text }) => text).filter(Boolean).join("\n\n");

  async function copy(turn, button) {
    const text = answer(turn, button.dataset.step);
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      byHand(text); // no clipboard without https
    }
    button.dataset.done = "true";
    setTimeout(() => delete button.dataset.done, 1500);
  }

  function byHand(text) {
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }

  return { copy };
})();
