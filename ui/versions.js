// A conversation as the browser has it: {id, instructions, turns, chosen}. Its turns make a tree, each
// with the id of the one before as `parent`; turns with the same parent are versions of each other,
// oldest first. `chosen` has the version that is shown after each turn. Nothing is ever replaced.
const patchbayVersions = (() => {
  const TITLE = 60; // characters

  function newId() {
    const bytes = crypto.getRandomValues(new Uint8Array(8));
    return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  }

  const fresh = (id = newId()) => ({ id, instructions: "", turns: [], chosen: {} });

  // As earlier versions stored one: the turns in a line.
  function upgraded(conversation) {
    const ids = new Set(conversation.turns.map((turn) => turn.id));
    let before = "";
    const turns = conversation.turns.map((turn) => {
      const known = turn.parent === "" || (ids.has(turn.parent) && turn.parent !== turn.id);
      const upright = known ? turn : { ...turn, parent: before };
      before = turn.id;
      return upright;
    });
    const { title, ...rest } = conversation; // made anew of the first request
    return { instructions: "", chosen: {}, ...rest, turns };
  }

  function grouped(conversation) {
    const versions = new Map();
    for (const turn of conversation.turns) {
      if (!versions.has(turn.parent)) versions.set(turn.parent, []);
      versions.get(turn.parent).push(turn);
    }
    return versions;
  }

  // The turns that are shown, in order; those with versions say which of them they are.
  function path(conversation) {
    const versions = grouped(conversation);
    const found = [];
    for (let at = ""; versions.has(at); ) {
      const here = versions.get(at);
      const turn = here.find(({ id }) => id === conversation.chosen[at]) || here.at(-1);
      const place = { version: here.indexOf(turn) + 1, versions: here.length };
      found.push(here.length > 1 ? { ...turn, ...place } : turn);
      at = turn.id;
    }
    return found;
  }

  const find = (conversation, id) => conversation.turns.find((turn) => turn.id === id);
  const siblings = (conversation, turn) =>
    conversation.turns.filter(({ parent }) => parent === turn.parent);

  // Put a turn in, or what has become of it.
  function put(conversation, turn) {
    const at = conversation.turns.findIndex(({ id }) => id === turn.id);
    if (at >= 0) conversation.turns[at] = turn;
    else conversation.turns.push(turn);
    conversation.chosen[turn.parent] = turn.id;
  }

  // Show another version of a turn. Where its branch was left, it is taken up again.
  function step(conversation, turn, by) {
    const here = siblings(conversation, turn);
    const other = here[here.findIndex(({ id }) => id === turn.id) + by];
    if (other) conversation.chosen[turn.parent] = other.id;
  }

  // Take a last turn out; gives the version that is shown in its place, if there is one.
  function remove(conversation, turn) {
    const here = siblings(conversation, turn);
    const at = here.findIndex(({ id }) => id === turn.id);
    conversation.turns = conversation.turns.filter(({ id }) => id !== turn.id);
    delete conversation.chosen[turn.parent];
    const other = here[at - 1] || here[at + 1];
    if (other) conversation.chosen[turn.parent] = other.id;
    return other;
  }

  // Two tabs' states of one conversation, as the latter shows it: every turn of both.
  function merged(stored, mine) {
    if (!stored) return { ...mine, turns: [...mine.turns] };
    const left = new Map(mine.turns.map((turn) => [turn.id, turn]));
    const turns = stored.turns.map((turn) => {
      const same = left.get(turn.id);
      left.delete(turn.id);
      return !same || (same.status === "running" && turn.status !== "running") ? turn : same;
    });
    turns.push(...left.values());
    return { ...mine, turns, chosen: { ...stored.chosen, ...mine.chosen } };
  }

  function title(conversation) {
    const [first] = path(conversation);
    return first ? first.text.split(/\s+/).filter(Boolean).join(" ").slice(0, TITLE) : "";
  }

  const answer = (turn) => [...(turn.steps || [])].reverse().map(({ text }) => text).find(Boolean) || "";

  // What a search looks into.
  const words = (conversation) =>
    conversation.turns.map((turn) => `${turn.text}\n${answer(turn)}`).join("\n").toLowerCase();

  return { newId, fresh, upgraded, path, find, put, step, remove, merged, title, words, answer };
})();
