// What has become of attached files: both sides of every block, and the files written anew.
const patchbayBeside = (() => {
  const find = (selector) => document.querySelector(selector);

  // As documents/inline_tags.py has them, of subtitles and of other files.
  const TAGS = [/<\/?[A-Za-z0-9][^<>\n]*>|\{\\[^{}\n]*\}/g, /<\/?g\d+>|<x\d+\/>/g];

  // The blocks of all files with their texts and what these lost.
  function pairs(turn, step) {
    const blocks = turn.attached.flatMap(({ document: read }) =>
      read.blocks.map((block) => ({ ...block, tags: TAGS[["srt", "vtt"].includes(read.format) ? 0 : 1] })),
    );
    const lost = new Map();
    for (const [number, what] of step.blocks.lost) lost.set(number, [...(lost.get(number) || []), what]);
    return step.blocks.texts.map((text, at) => ({
      kind: blocks[at].kind,
      before: blocks[at].text,
      after: blocks[at].tagged ? text.replace(blocks[at].tags, "") : text,
      lost: lost.get(at) || [],
    }));
  }

  function row({ kind, before, after, lost }) {
    const made = find("#pb-pair").content.cloneNode(true).firstElementChild;
    const [left, right, note] = made.children;
    made.dataset.kind = kind;
    left.textContent = before;
    right.textContent = after;
    note.hidden = !lost.length;
    note.querySelector("b").textContent = lost.join(", ");
    return made;
  }

  function beside(button, turn) {
    if (!turn) return;
    const view = find("#pb-beside");
    view.querySelector("h2").textContent = turn.attached.map(({ document: read }) => read.name).join(", ");
    view.querySelector(".pb-pairs").replaceChildren(...pairs(turn, turn.steps[button.dataset.step]).map(row));
    view.showModal();
    view.querySelector(".pb-pairs").scrollTop = 0;
  }

  const besides = () => find("#pb-beside").close();

  // The server writes the texts into the file and gives it back.
  async function download(button, turn) {
    if (!turn) return;
    const number = Number(button.dataset.file);
    const fault = button.parentElement.querySelector(".pb-fault");
    const { document: read, original } = turn.attached[number];
    const begin = turn.attached.slice(0, number).reduce((sum, one) => sum + one.document.blocks.length, 0);
    const texts = turn.steps[button.dataset.step].blocks.texts.slice(begin, begin + read.blocks.length);
    const file = await patchbayOriginals.find(original);
    fault.hidden = Boolean(file);
    fault.dataset.what = "gone";
    if (!file) return;
    button.disabled = true;
    let error = null;
    try {
      const answer = await fetch("gradio_api/rewrite", {
        method: "POST",
        headers: { "X-File-Name": encodeURIComponent(read.name) },
        body: new Blob([`${JSON.stringify(texts)}\n`, file]),
      });
      if (answer.ok) patchbaySave(await answer.blob(), button.dataset.name);
      else ({ error } = await answer.json());
    } catch {
      error = patchbayFiles.told("lost");
    }
    if (error) {
      fault.dataset.what = "failed";
      fault.querySelector(".pb-failed").replaceChildren(...patchbayFiles.both(error));
      fault.hidden = false;
    }
    button.disabled = false;
  }

  return { beside, besides, download };
})();
