// Temperature and length of what is written in this conversation, kept with it.
const patchbayWishes = (() => {
  const boxes = () => [...document.querySelectorAll(".pb-wishes input")];

  function show(wishes) {
    for (const box of boxes()) box.value = wishes[box.name] ?? "";
  }

  // What is no number that it may be stays there, with a sentence, and is not used.
  const chosen = () =>
    Object.fromEntries(
      boxes()
        .filter(({ value, validity }) => value !== "" && validity.valid)
        .map(({ name, valueAsNumber }) => [name, valueAsNumber]),
    );

  return { show, chosen, some: () => Object.keys(chosen()).length > 0 };
})();
