// Conversations as files: Markdown to read, JSON to bring them back here or into another browser.
const patchbayTransfer = (() => {
  const FORM = 1; // of the JSON
  const ID = /^[\w-]{1,64}$/;
  const said = (key) => document.querySelector(".pb-toast").dataset[key];

  const download = (name, text, type) => patchbaySave(new Blob([text], { type }), name);

  const fileName = (title) => title.replace(/[\\/:*?"<>|\p{C}]+/gu, " ").trim().slice(0, 60) || "Patchbay";

  const asJson = (records) =>
    JSON.stringify(
      {
        patchbay: FORM,
        conversations: records.map(({ entry: { at, name, pinned }, conversation }) => ({
          at, name, pinned, conversation,
        })),
      },
      null,
      1,
    );

  // A skill as the page calls it; one that is gone, by its name.
  function titled(task) {
    const options = [...document.querySelectorAll("#pb-commands [data-names]")];
    const option = options.find(({ dataset }) => dataset.names.split(" ").includes(task));
    const language = document.documentElement.dataset.language;
    return option?.querySelector(`strong [lang=${language}]`).textContent || task;
  }

  function turnAsMarkdown(turn) {
    const files = (turn.attached || []).map(({ document: read }) => `- 📎 ${read.name}`).join("\n");
    const steps = (turn.steps || []).filter(({ text }) => text);
    const answers = steps.map((step) => `### ${titled(step.task)}\n\n${step.text}`).join("\n\n");
    const failed = turn.status === "failed" && !steps.length ? `> ${turn.error}` : "";
    return [`## ${said("you")}`, turn.text, files, "## Patchbay", answers || failed]
      .filter(Boolean)
      .join("\n\n");
  }

  function asMarkdown({ entry, conversation }) {
    const title = entry.name || entry.title;
    const own = conversation.instructions.trim().replace(/^/gm, "> ");
    const turns = patchbayVersions.path(conversation).map(turnAsMarkdown);
    return [`# ${title}`, own === "> " ? "" : own, ...turns].filter(Boolean).join("\n\n") + "\n";
  }

  const isStep = (step) => step && typeof step.task === "string" && typeof (step.text ?? "") === "string";
  const isTurn = (turn) =>
    turn && ID.test(turn.id) && typeof turn.text === "string" &&
    Array.isArray(turn.steps ?? []) && (turn.steps ?? []).every(isStep);
  const isConversation = (one) =>
    one && ID.test(one.id) && Array.isArray(one.turns) && one.turns.length > 0 && one.turns.every(isTurn);

  // The records in a file; null where it is not ours.
  function read(text) {
    try {
      const file = JSON.parse(text);
      const found = file.conversations;
      if (file.patchbay !== FORM || !found.every((one) => isConversation(one.conversation))) return null;
      return found.map(({ at, name, pinned, conversation }) => ({
        entry: {
          at: Number.isFinite(at) ? at : Date.now(),
          name: typeof name === "string" ? name : "",
          pinned: pinned === true,
        },
        conversation: patchbayVersions.upgraded(conversation),
      }));
    } catch {
      return null;
    }
  }

  return {
    read,
    markdown: (record) =>
      download(`${fileName(record.entry.name || record.entry.title)}.md`, asMarkdown(record), "text/markdown"),
    json: (records) => {
      const [{ entry }] = records;
      const name = records.length > 1 ? "Patchbay" : fileName(entry.name || entry.title);
      download(`${name}.json`, asJson(records), "application/json");
    },
  };
})();
