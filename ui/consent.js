// Whether what is rated here may be used for training: asked once, remembered by this browser under
// a random name, so that it can be taken back.
const patchbayConsent = (() => {
  const { load, save } = patchbayStore;
  const { raise, drawn } = patchbayRunning;
  const root = document.documentElement;
  const [SAID, RATER] = ["patchbay.consent", "patchbay.rater"];

  const show = () => (root.dataset.consent = load(SAID, "unsaid"));

  function rater() {
    if (!load(RATER)) {
      const bytes = crypto.getRandomValues(new Uint8Array(16));
      save(RATER, Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(""));
    }
    return load(RATER, "");
  }

  // What goes with a rating.
  const said = () => (load(SAID) === "yes" ? { consent: true, rater: rater() } : {});

  function remember(answer, turn) {
    save(SAID, answer);
    show();
    document.querySelector(`.pb-consent[data-turn="${turn}"] .pb-consent-${answer} button`)?.focus();
  }

  // Remembered only once the server has done it.
  async function say(turn, act, answer) {
    const agrees = answer === "yes";
    await raise("rate", { turn, act, rater: rater(), consent: agrees }, { stops: false });
    const done = `.pb-consent[data-turn="${turn}"][data-kept="${agrees}"]`;
    if (await drawn(() => document.querySelector(done))) remember(answer, turn);
  }

  show();
  addEventListener("storage", (event) => event.key === SAID && show());

  return {
    said,
    acts: {
      agree: (button) => say(button.dataset.turn, "agree", "yes"),
      withdraw: (button) => say(button.dataset.turn, "withdraw", "no"),
      refuse: (button) => remember("no", button.dataset.turn),
    },
  };
})();
