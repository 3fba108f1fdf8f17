// Follow an answer as it grows, until the reader scrolls up; at the end again, follow on. (Gradio's
// own following lets go only beyond a hundred pixels.)
const patchbayScroll = (() => {
  const NEAR = 8; // pixels from the end that still count as being there
  let follows = true;
  let last = 0;
  let due = 0; // the frame that goes to the end

  const log = () => document.querySelector("#pb-chat-log .bubble-wrap, #pb-chat-log .panel-wrap");
  const end = (area) => area.scrollHeight - area.clientHeight - area.scrollTop;

  // Once a frame: where the end is has the whole log laid out, and an answer that is drawn changes many
  // times between two frames.
  function toEnd() {
    due ||= requestAnimationFrame(() => {
      due = 0;
      const area = log();
      if (area && follows) area.scrollTop = area.scrollHeight;
    });
  }

  function begin() {
    follows = true;
    toEnd();
  }

  document.addEventListener("wheel", (event) => {
    if (event.deltaY < 0 && event.target.closest?.("#pb-chat-log")) follows = false;
  }, { passive: true });
  document.addEventListener("scroll", ({ target }) => {
    if (target !== log()) return;
    if (target.scrollTop < last) follows = false;
    if (end(target) <= NEAR) follows = true;
    last = target.scrollTop;
  }, true);

  function watch() {
    const area = log();
    if (!area) return void setTimeout(watch, 100);
    new MutationObserver(toEnd).observe(area, { childList: true, subtree: true, characterData: true });
  }

  return { begin, watch };
})();
