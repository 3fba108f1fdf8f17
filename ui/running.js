// What runs on the server for this page: one event of the bridge at a time, and what becomes of it
// where the server goes away.
const patchbayRunning = (() => {
  const root = document.documentElement;
  const ANSWERS = ["send", "retry", "reroute", "pick", "more"];

  let trigger = null; // Gradio's way to raise an event of the bridge
  let waiting = null; // resolves when what runs has come to rest
  let answering = false; // what runs is an answer
  let ended = () => {};

  function begin() {
    if (answering) root.dataset.busy = "true";
    let rest;
    waiting = new Promise((resolve) => (rest = resolve));
    waiting.rest = rest;
    watch(waiting);
  }

  // Gradio says nothing when the server goes away, or starts anew, in the middle of an answer.
  async function watch(mine) {
    const server = () => fetch("gradio_api/app_id").then((is) => is.text(), () => null);
    const started = await server();
    while (waiting === mine) {
      await new Promise((wake) => setTimeout(wake, 3000));
      const now = await server();
      if (waiting === mine && (now === null || now !== started)) idle("lost");
    }
  }

  // What runs has come to rest: it is done, or the server is gone ("lost"), or refused it ("long").
  function idle(fault = "") {
    delete root.dataset.busy;
    ended(fault);
    if (waiting) waiting.rest();
    waiting = null;
  }

  // Nor does it say anything when an event is refused, by the server or a proxy before it.
  const ask = window.fetch;
  window.fetch = async (...request) => {
    const answer = await ask(...request);
    const joins = new URL(answer.url).pathname.endsWith("/queue/join");
    if (!answer.ok && joins) idle(answer.status === 413 ? "long" : "lost");
    return answer;
  };

  async function rested() {
    while (waiting) await waiting;
  }

  // What is drawn anew stands there a moment after the event has come to rest.
  async function drawn(find) {
    await rested();
    for (let frames = 0; frames < 60 && !find(); frames++) await new Promise(requestAnimationFrame);
    return find();
  }

  // Raise an event of the bridge: what runs is stopped (or waited for) first.
  async function raise(event, data = {}, { stops = true, first = () => {} } = {}) {
    if (waiting && stops) trigger("stop", {});
    await rested();
    first();
    answering = ANSWERS.includes(event);
    begin();
    if (answering) patchbayScroll.begin();
    trigger(event, data);
  }

  return {
    raise,
    rested,
    drawn,
    idle,
    stop: () => trigger("stop", {}),
    runs: () => waiting !== null,
    answers: () => answering,
    connect: (raise) => (trigger = raise),
    onend: (call) => (ended = call),
  };
})();
