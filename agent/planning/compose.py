"""Labelled requests to train on: instruction patterns around contents, as people write them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import regex

from agent.planning import contents, placement
from agent.planning.blanks import WORDS, Blanks
from agent.planning.contents import Content, Contents
from agent.planning.patterns import AGAIN, ASIDE, CONTENT, LETTERS, Pattern, Pieces

CHAT, INTO, SHORTEN, MOOD, SORT = (LETTERS[letter] for letter in "GTSMC")
SKILLS = [SHORTEN, INTO, MOOD, SORT]
SHARES = {"en": 0.40, "zh": 0.30, "fr": 0.08, "de": 0.08, "es": 0.08, "ja": 0.06}
JOINED = {"en": 0.46, "zh": 0.24, "fr": 0.09, "de": 0.09, "es": 0.09, "ja": 0.03}
USUAL = {  # the files whose texts people ask it of
    SHORTEN: ["documents", "documents", "answers", "parallel-news"],
    MOOD: ["sentiment", "sentiment", "sentiment", "answers"],
    SORT: ["news", "labels", "labels"],
    INTO: ["parallel-life", "parallel-news", "parallel-tech", "sentiment"],
    CHAT: ["documents", "labels", "answers"],
}
POINTS = regex.compile(
    r"\bthis\b|following|below|above|[这這]|下面|以下|上文|ce |cette|dies|das\b|este|esta|この|次の"
)
MAKES = regex.compile(  # asks for a text to be written, rather than a question
    r"(?:\{none\})?\(?(?:write|draft|make up|invent|compose|tell me|give me|come up|écri|rédige"
    r"|schreib|verfass|erfinde|dichte|escribe|redacta|inventa|[写寫编編拟擬想])",
    regex.I,
)
JOINT_WORDS = regex.compile(
    r"^(?:(?:then|and then|and|also|finally|et|puis|und|dann|y|luego)\s+"
    r"|再|然[后後]|最[后後]|接[着著]|先)",
    regex.I,
)
ENDS = ["", ".", ":", ". ", "?"]


@dataclass
class Composed:
    """A labelled request.

    Attributes:
        pieces: words with the tag of what they ask for, or `content`.
        plan: task names in the order of doing, or `again`.
        before: the plan of the turn before; None without one.
        kind: what sort of request it is, to report by.
        lang: language of the instruction.
        target: ISO 639-1 code of the language asked for.
    """

    pieces: Pieces
    plan: tuple[str, ...]
    before: tuple[str, ...] | None = None
    kind: str = "single"
    lang: str = "en"
    target: str | None = None

    @property
    def text(self) -> str:
        """The request as the person writes it."""
        return "".join(words for words, _ in self.pieces)

    @property
    def content(self) -> str:
        """The text to work on; empty where there is none."""
        return "".join(words for words, tag in self.pieces if tag == CONTENT)


class Composer:
    """Draws requests without end.

    Args:
        lines: the patterns to use.
        pool: the contents to use.
        questions: what people ask in conversation, with its language.
    """

    def __init__(
        self,
        lines: Sequence[Pattern],
        pool: Contents,
        questions: Sequence[tuple[str, str]],
        rng: random.Random,
    ) -> None:
        self._rng, self._pool, self._questions = rng, pool, list(questions)
        self._by_plan: dict[tuple[str, tuple[str, ...]], list[Pattern]] = {}
        for line in lines:
            self._by_plan.setdefault((line.lang, line.plan), []).append(line)
        self._blanks = Blanks(rng)

    def draw(self) -> Composed:
        """One request."""
        kinds: list[tuple[float, Callable[[], Composed]]] = [
            (0.34, self._single),
            (0.13, self._fused),
            (0.17, self._joined),
            (0.22, self._chat),
            (0.08, self._follow_up),
            (0.04, self._again),
            (0.02, self._only_content),
        ]
        return self._made(self._rng.choices([k for _, k in kinds], [w for w, _ in kinds])[0])

    def around(self, pattern: Pattern) -> Composed:
        """A request of one pattern."""
        composed = self._made(lambda: self._with_content(pattern, "single"))
        composed.before = None
        return composed

    def _made(self, draw: Callable[[], Composed]) -> Composed:
        self._blanks.target = None
        composed = draw()
        composed.target = self._blanks.target
        return composed

    def _lang(self, shares: dict[str, float] = SHARES) -> str:
        return self._rng.choices(list(shares), list(shares.values()))[0]

    def _skill(self) -> str:
        return self._rng.choices(SKILLS, [0.3, 0.28, 0.21, 0.21])[0]

    def _pattern(self, lang: str, plan: tuple[str, ...]) -> Pattern:
        lines = self._by_plan.get((lang, plan)) or self._by_plan["en", plan]
        if self._rng.random() < 0.5:  # the long patterns have many wordings, the samples one each
            lines = [line for line in lines if not line.short] or lines
        if plan == (INTO,) and self._rng.random() < 0.25:  # short texts within the sentence
            lines = [line for line in lines if "{text}" in line.line] or lines
        return self._rng.choice(lines)

    def _single(self) -> Composed:
        return self._with_content(self._pattern(self._lang(), (self._skill(),)), "single")

    def _fused(self) -> Composed:
        """Several tasks in one pattern."""
        lang = self._lang()
        plans = {p: len(of) for (k, p), of in self._by_plan.items() if k == lang and len(p) > 1}
        if not plans:
            return self._single()
        (plan,) = self._rng.choices(list(plans), list(plans.values()))
        return self._with_content(self._pattern(lang, plan), "compound")

    def _with_content(self, pattern: Pattern, kind: str) -> Composed:
        rng, lang = self._rng, pattern.lang
        before = self._some_plan() if rng.random() < 0.25 else None
        content = self._content_for(pattern.plan[0], lang)
        pieces = self._filled(pattern.wording(rng), lang, content)
        chats = pattern.plan[0] == CHAT and not self._is_about_one(pattern)
        without = pattern.alone or chats or rng.random() < 0.03
        placed = self._alone(pieces, lang) if without else self._placed(pieces, content, lang)
        return Composed(placed, pattern.plan, before, kind=kind, lang=lang)

    def _joined(self) -> Composed:
        """Patterns of several tasks behind each other."""
        rng, lang = self._rng, self._lang(JOINED)
        weights = {SHORTEN: 3, INTO: 4, MOOD: 3, SORT: 2, CHAT: 2}
        tasks = [task for task in weights if self._clauses(task, lang)]
        if len(tasks) < 2:
            return self._single()
        plan: list[str] = []
        for _ in range(3 if rng.random() < 0.2 else 2):
            left = [task for task in tasks if task not in plan]
            plan += rng.choices(left, [weights[task] for task in left])[:1] if left else []
        first = plan[0]
        content = self._content_for(first, lang)
        pieces = self._clause(first, lang)
        for task in plan[1:]:
            pieces = self._join(pieces, self._clause(task, lang), lang, last=task == plan[-1])
        pieces = self._filled(pieces, lang, content)
        if first == CHAT and rng.random() < 0.85:
            placed = self._alone(pieces, lang)
        else:
            end = rng.choice(["", "。", "："] if placement.is_wide(lang) else ENDS)
            placed = self._placed([*pieces, (end, plan[-1])], content, lang)
        return Composed(placed, tuple(plan), kind="compound", lang=lang)

    def _clauses(self, task: str, lang: str) -> list[Pattern]:
        """Patterns of one task that can stand beside others."""
        lines = self._by_plan.get((lang, (task,)), [])
        if task == CHAT:
            lines = [line for line in lines if MAKES.match(line.line)]
        return [
            line for line in lines if "{text}" not in line.line and (task == CHAT or not line.alone)
        ]

    def _clause(self, task: str, lang: str) -> Pieces:
        words = self._rng.choice(self._clauses(task, lang)).wording(self._rng)
        last, end = words[-1]
        words[-1] = (last.rstrip(" .:?!。：？"), end)
        first, tag = words[0]
        first = JOINT_WORDS.sub("", first)
        if not regex.match(r"I\b|I'|TL|{", first):
            first = first[:1].lower() + first[1:]
        return [(first, tag), *words[1:]]

    def _join(self, one: Pieces, two: Pieces, lang: str, last: bool) -> Pieces:
        joints = WORDS["joints"][lang][: None if last else 12]
        if self._rng.random() < 0.3:  # what is done first is said last: seldom written, hard to see
            joints = [j for j in joints if j.find("{b}") < j.find("{a}")] or joints
        parts = regex.split(r"(\{[ab]\})", self._rng.choice(joints))
        clauses = {"{a}": one, "{b}": two}
        return [piece for p in parts if p for piece in clauses.get(p, [(p, two[0][1])])]

    def _chat(self) -> Composed:
        rng = self._rng
        before = self._some_plan() if rng.random() < 0.4 else None
        if rng.random() < 0.35:
            text, lang = rng.choice(self._questions)
            pieces = placement.slips([(text, CHAT)], rng)
            return Composed(pieces, (CHAT,), before, kind="chat", lang=lang)
        lang = self._lang()
        pattern = self._pattern(lang, (CHAT,))
        content = self._content_for(CHAT, lang)
        pieces = self._filled(pattern.wording(rng), lang, content)
        if self._is_about_one(pattern):
            placed = self._placed(pieces, content, lang)
        else:
            placed = self._alone(pieces, lang)
        return Composed(placed, (CHAT,), before, kind="chat", lang=lang)

    def _is_about_one(self, pattern: Pattern) -> bool:
        """Whether a content is written beside words of conversation that may be about one."""
        about = POINTS.search(pattern.line) and "{text}" not in pattern.line and not pattern.alone
        return bool(about) and self._rng.random() < 0.6

    def _follow_up(self) -> Composed:
        """A skill asked of what is there already."""
        rng, lang = self._rng, self._lang()
        plans: list[tuple[str, ...]] = [(self._skill(),)]
        if rng.random() < 0.15:
            plans += [p for k, p in self._by_plan if k == lang and len(p) > 1 and p[0] != CHAT]
        plan = rng.choice(plans)
        lines = [self._pattern(lang, plan) for _ in range(20)]
        pattern = next((line for line in lines if "{text}" not in line.line), lines[0])
        pieces = self._filled(pattern.wording(rng), lang, Content("it", lang))
        placed, before = self._alone(pieces, lang), self._some_plan()
        return Composed(placed, pattern.plan, before, kind="followup", lang=lang)

    def _again(self) -> Composed:
        """What the turn before asked for, of another content."""
        rng, lang = self._rng, self._lang()
        before = self._some_plan(chat=False)
        pattern = rng.choice(self._by_plan[lang, (AGAIN,)])
        content = self._content_for(before[0], lang)
        if pattern.line == "{text}":
            quote = rng.choice(placement.QUOTES[:4])
            placed = [(quote[:1], AGAIN), (content.text, CONTENT), (quote[-1:], AGAIN)]
        else:
            placed = self._placed(self._filled(pattern.wording(rng), lang, content), content, lang)
        return Composed(placed, (AGAIN,), before, kind="again", lang=lang)

    def _only_content(self) -> Composed:
        content = self._pool.draw(self._rng)
        return Composed([(content.text, CONTENT)], (CHAT,), kind="chat", lang=content.lang)

    def _some_plan(self, chat: bool = True) -> tuple[str, ...]:
        """A plan that the turn before may have had."""
        rng = self._rng
        if chat and rng.random() < 0.4:
            return (CHAT,)
        return (SHORTEN, INTO) if rng.random() < 0.2 else (rng.choice(SKILLS),)

    def _content_for(self, task: str, lang: str) -> Content:
        rng = self._rng
        kind = (
            rng.choice(USUAL[task])
            if rng.random() < 0.5
            else rng.choice(["decoys", "decoys", None])
        )
        if task != CHAT and rng.random() < 0.25:
            kind = "short"
        content = self._pool.draw(rng, kind, lang if rng.random() < 0.6 else None)
        return Content(self._reshaped(content), content.lang)

    def _reshaped(self, content: Content) -> str:
        """The text as it is pasted; only its place says that nobody asks for what it says."""
        rng, text = self._rng, contents.as_copied(content, self._rng)
        if rng.random() < 0.07:
            text = self._said(content.lang)
        elif rng.random() < 0.14 and len(text) > 20:
            between = "" if placement.is_wide(content.lang) else " "
            more = self._said(content.lang)
            text = between.join([text, more] if rng.random() < 0.7 else [more, text])
        return text.strip() or content.text

    def _said(self, lang: str) -> str:
        """An instruction or a question, to be content."""
        rng = self._rng
        asked = (
            [
                text
                for text, of in rng.choices(self._questions, k=8)
                if of == lang and len(text) < 120
            ]
            if self._questions
            else []
        )
        if asked and rng.random() < 0.6:
            return asked[0]
        lines = [line for (of, _), lines in self._by_plan.items() if of == lang for line in lines]
        if not lines:
            return ""
        words = "".join(words for words, _ in rng.choice(lines).wording(rng))
        target = self._blanks.target
        words = self._blanks.fill(words, lang, lang).replace("{text}", "")
        self._blanks.target = target
        return words

    def _filled(self, pieces: Pieces, lang: str, content: Content) -> Pieces:
        """The wording without blanks; a content that stands within it is quoted or short."""
        filled: Pieces = []
        for words, tag in pieces:
            for part in regex.split(r"(\{text\})", words):
                if part == "{text}":
                    text = self._short(content)
                    bare = len(text) < 30 and self._rng.random() < 0.6
                    quote = "{}" if bare else self._rng.choice([*placement.QUOTES[:6], "{}"])
                    open_, close = quote.split("{}")
                    filled += [(open_, tag), (text, CONTENT), (close, tag)]
                elif part:
                    filled.append((self._blanks.fill(part, lang, content.lang), tag))
        return filled

    def _short(self, content: Content) -> str:
        """The text, or another, fit to stand within a sentence."""
        text = content.text
        for _ in range(8):
            if len(text) <= 60:
                break
            if self._rng.random() < 0.7:
                text = self._pool.draw(self._rng, "decoys", content.lang).text
        return contents.within_a_sentence(text)

    def _alone(self, pieces: Pieces, lang: str) -> Pieces:
        return placement.manners(placement.slips(pieces, self._rng), lang, self._rng, self._aside)

    def _placed(self, pieces: Pieces, content: Content, lang: str) -> Pieces:
        return placement.place(pieces, content, lang, rng=self._rng, aside=self._aside)

    def _aside(self, lang: str) -> str:
        line = self._rng.choice(self._by_plan[lang, (ASIDE,)])
        return self._blanks.fill("".join(words for words, _ in line.wording(self._rng)), lang, "en")
