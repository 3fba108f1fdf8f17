"""Labelled requests to train on: instruction patterns around contents, as people write them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import regex
import yaml

from agent.planning import contents, patterns
from agent.planning.contents import Content, Contents
from agent.planning.patterns import AGAIN, ASIDE, CONTENT, LETTERS, Pattern, Pieces
from tasks import languages

CHAT, INTO, SHORTEN, MOOD, SORT = (LETTERS[letter] for letter in "GTSMC")
FILLS: dict[str, Any] = yaml.safe_load((patterns.FOLDER / "fills.yaml").read_text("utf-8"))
TARGETS: list[str] = FILLS["targets"].split()
QUOTES: list[str] = FILLS["quotes"]
MARK = regex.compile(r"\{(?:lang|langde|short|from|labels|pair|topic|n|doc)\}")
POINTS = regex.compile(
    r"\bthis\b|following|below|above|这|下面|以下|上文|ce |cette|dies|das\b|este|esta|この|次の"
)
ABOVE = regex.compile(
    r"above|上文|上述|上面|以上|前面|ci-dessus|précède|obige|Obige|oben|anterior|arriba|上の|上記|前述"
)
BELOW = regex.compile(
    r"below|following|follows|下面|以下|下列|下文|suivant|ci-dessous|folgende|Folgende|unten|siguiente"
    r"|abajo|次の|下の|如下"
)


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
        self._labels = contents.label_lists()
        self._target: str | None = None

    def draw(self) -> Composed:
        """One request."""
        kinds: list[tuple[float, Callable[[], Composed]]] = [
            (0.36, self._single),
            (0.13, self._fused),
            (0.15, self._joined),
            (0.20, self._chat),
            (0.09, self._follow_up),
            (0.05, self._again),
            (0.02, self._only_content),
        ]
        draw = self._rng.choices([k for _, k in kinds], [w for w, _ in kinds])[0]
        self._target = None
        composed = draw()
        composed.target = self._target
        return composed

    def around(self, pattern: Pattern) -> Composed:
        """A request of one pattern."""
        self._target = None
        composed = self._with_content(pattern, "single")
        composed.target, composed.before = self._target, None
        return composed

    def _lang(self) -> str:
        return self._rng.choices(
            ["en", "zh", "fr", "de", "es", "ja"], [0.40, 0.30, 0.08, 0.08, 0.08, 0.06]
        )[0]

    def _pattern(self, lang: str, plan: tuple[str, ...]) -> Pattern:
        lines = self._by_plan.get((lang, plan)) or self._by_plan["en", plan]
        if self._rng.random() < 0.5:  # the long patterns have many wordings, the samples one each
            long = [line for line in lines if not line.short]
            lines = long or lines
        if plan == (INTO,) and self._rng.random() < 0.25:  # short texts within the sentence
            lines = [line for line in lines if "{text}" in line.line] or lines
        return self._rng.choice(lines)

    def _single(self) -> Composed:
        lang = self._lang()
        task = self._rng.choices([SHORTEN, INTO, MOOD, SORT], [0.3, 0.26, 0.22, 0.22])[0]
        return self._with_content(self._pattern(lang, (task,)), "single")

    def _fused(self) -> Composed:
        lang = self._lang()
        plans = [p for k, p in self._by_plan if k == lang and len(p) > 1]
        if not plans:
            return self._single()
        return self._with_content(self._pattern(lang, self._rng.choice(plans)), "compound")

    def _with_content(self, pattern: Pattern, kind: str) -> Composed:
        rng = self._rng
        before = self._some_plan() if rng.random() < 0.25 else None
        content = self._content_for(pattern.plan[0], pattern.lang)
        pieces = self._filled(pattern.wording(rng), pattern.lang, content)
        if pattern.alone or CHAT in pattern.plan[:1] or rng.random() < 0.03:
            placed = self._manners(self._slips(pieces), pattern.lang)
        else:
            placed = self._placed(pieces, content, pattern.lang)
        return Composed(placed, pattern.plan, before, kind=kind, lang=pattern.lang)

    def _joined(self) -> Composed:
        rng = self._rng
        lang = rng.choice(["en", "en", "zh"])
        tasks = [SHORTEN, INTO, MOOD, SORT]
        first = rng.choices([*tasks, CHAT], [4, 3, 2, 2, 3])[0]
        later = rng.choices([*tasks, CHAT], [3, 4, 3, 2, 1])[0]
        if first == later:
            later = INTO if first != INTO else SHORTEN
        plan = [first, later]
        if rng.random() < 0.2:
            plan += [task for task in rng.sample(tasks, 4) if task not in plan][:1]
        content = self._content_for(first, lang)
        pieces = self._clause(first, lang)
        for task in plan[1:]:
            pieces = self._join(pieces, self._clause(task, lang), lang, last=task == plan[-1])
        pieces = self._filled(pieces, lang, content)
        if first == CHAT and rng.random() < 0.85:
            placed = self._manners(self._slips(pieces), lang)
        else:
            end = (
                rng.choice(["", ".", ":", ". ", "?"])
                if lang == "en"
                else rng.choice(["", "。", "："])
            )
            placed = self._placed([*pieces, (end, plan[-1])], content, lang)
        return Composed(placed, tuple(plan), kind="compound", lang=lang)

    def _clause(self, task: str, lang: str) -> Pieces:
        """A pattern's words, fit to stand beside others."""
        lines = [
            line
            for line in self._by_plan[lang, (task,)]
            if "{text}" not in line.line and (line.short or task != CHAT)
        ]
        if task == CHAT:  # what is written, rather than what is asked
            making = regex.compile(
                r"^(?:write|draft|make up|invent|compose|tell me|give me)|^[写编拟想]"
            )
            lines = [line for line in lines if making.search(line.line)]
        words = self._rng.choice(lines).wording(self._rng)
        first, tag = words[0]
        last, end = words[-1]
        words[-1] = (last.rstrip(" .:?!。：？"), end)
        first = words[0][0]
        words[0] = (
            regex.sub(r"^(?:then|and|also|finally|再|然后|最后|接着|先|and then)\s*", "", first),
            tag,
        )
        if lang == "en" and not regex.match(r"I\b|I'|TL", words[0][0]):
            words[0] = (words[0][0][:1].lower() + words[0][0][1:], tag)
        return words

    def _join(self, one: Pieces, two: Pieces, lang: str, last: bool) -> Pieces:
        joints = FILLS["joints"][lang][: None if last else 12]
        if self._rng.random() < 0.3:  # what is done first is said last: seldom written, hard to see
            joints = [
                joint for joint in FILLS["joints"][lang] if joint.find("{b}") < joint.find("{a}")
            ]
        joint = self._rng.choice(joints)
        pieces: Pieces = []
        for part in regex.split(r"(\{[ab]\})", joint):
            if part == "{a}":
                pieces += one
            elif part == "{b}":
                pieces += two
            elif part:
                pieces.append((part, two[0][1]))
        return pieces

    def _chat(self) -> Composed:
        rng = self._rng
        before = self._some_plan() if rng.random() < 0.4 else None
        if rng.random() < 0.4:
            text, lang = rng.choice(self._questions)
            return Composed(self._slips([(text, CHAT)]), (CHAT,), before, kind="chat", lang=lang)
        lang = self._lang()
        pattern = self._pattern(lang, (CHAT,))
        content = self._content_for(CHAT, lang)
        pieces = self._filled(pattern.wording(rng), lang, content)
        has_place = POINTS.search(pattern.line)
        if has_place and "{text}" not in pattern.line and rng.random() < 0.6:
            placed = self._placed(pieces, content, lang)
        else:
            placed = self._manners(self._slips(pieces), lang)
        return Composed(placed, (CHAT,), before, kind="chat", lang=lang)

    def _follow_up(self) -> Composed:
        """A skill asked of what is there already."""
        rng = self._rng
        lang = rng.choice(["en", "en", "zh"]) if rng.random() < 0.8 else self._lang()
        task = rng.choices([SHORTEN, INTO, MOOD, SORT], [0.3, 0.4, 0.15, 0.15])[0]
        plans: list[tuple[str, ...]] = [(task,)] * 4
        plans += [p for k, p in self._by_plan if k == lang and len(p) > 1 and p[0] != CHAT]
        pattern = self._pattern(lang, rng.choice(plans[:4] if rng.random() < 0.85 else plans))
        for _ in range(20):
            if "{text}" not in pattern.line:
                break
            pattern = self._pattern(lang, (task,))
        pieces = self._slips(self._filled(pattern.wording(rng), lang, Content("it", lang)))
        placed, before = self._manners(pieces, lang), self._some_plan()
        return Composed(placed, pattern.plan, before, kind="followup", lang=lang)

    def _again(self) -> Composed:
        rng = self._rng
        lang = self._lang()
        before = self._some_plan(chat=False)
        pattern = rng.choice(self._by_plan[lang, (AGAIN,)])
        content = self._content_for(before[0], lang)
        if pattern.line == "{text}":
            quote = rng.choice(QUOTES[:4])
            pieces = [(quote[:1], AGAIN), (content.text, CONTENT), (quote[-1:], AGAIN)]
            return Composed(pieces, (AGAIN,), before, kind="again", lang=lang)
        pieces = self._filled(pattern.wording(rng), lang, content)
        placed = self._placed(pieces, content, lang)
        return Composed(placed, (AGAIN,), before, kind="again", lang=lang)

    def _only_content(self) -> Composed:
        content = self._pool.draw(self._rng)
        return Composed([(content.text, CONTENT)], (CHAT,), kind="chat", lang=content.lang)

    def _some_plan(self, chat: bool = True) -> tuple[str, ...]:
        rng = self._rng
        if chat and rng.random() < 0.4:
            return (CHAT,)
        if rng.random() < 0.2:
            return (SHORTEN, INTO)
        return (rng.choice([SHORTEN, INTO, MOOD, SORT]),)

    def _content_for(self, task: str, lang: str) -> Content:
        rng = self._rng
        usual = {
            SHORTEN: ["documents", "documents", "answers", "parallel-news"],
            MOOD: ["sentiment", "sentiment", "sentiment", "answers"],
            SORT: ["news", "labels", "labels"],
            INTO: ["parallel-life", "parallel-news", "parallel-tech", "sentiment"],
            CHAT: ["documents", "labels", "answers"],
        }[task]
        kind = rng.choice(usual) if rng.random() < 0.5 else rng.choice(["decoys", "decoys", None])
        if task != CHAT and rng.random() < 0.25:
            kind = "short"
        wanted = lang if rng.random() < 0.6 else None
        content = self._pool.draw(rng, kind, wanted)
        return Content(self._reshaped(content), content.lang)

    def _reshaped(self, content: Content) -> str:
        """The text as it looks where people copy it from."""
        rng, text = self._rng, content.text
        dice = rng.random()
        if dice < 0.06 and content.lang == "en":
            text = regex.sub(r"\s*([.,!?;:()])\s*", r" \1 ", text.lower()).strip()
        elif dice < 0.10:
            text = "\n".join(text[i : i + 70] for i in range(0, len(text), 70))
        elif dice < 0.13:
            text = "\n".join("> " + line for line in text.splitlines())
        elif dice < 0.16:
            text = "\n".join(
                f"- {part.strip()}" for part in contents.SENTENCE.findall(text) if part.strip()
            )
        elif dice < 0.18 and content.lang == "zh":
            text = text.replace("，", ",").replace("。", ".")
        elif dice < 0.21:
            names = rng.choice(
                [("A", "B"), ("Tom", "Ana"), ("#Person1#", "#Person2#"), ("甲", "乙")]
            )
            parts = [part.strip() for part in contents.SENTENCE.findall(text) if part.strip()]
            text = "\n".join(f"{names[i % 2]}: {part}" for i, part in enumerate(parts))
        elif dice < 0.28:
            # An instruction as content: only its place says that nobody asks for it here.
            other = rng.choice(list(self._by_plan.values()))
            words = "".join(words for words, _ in rng.choice(other).wording(rng))
            text = self._fill(words, content.lang, content.lang).replace("{text}", "")
        return text.strip() or content.text

    def _filled(self, pieces: Pieces, lang: str, content: Content) -> Pieces:
        filled: Pieces = []
        for words, tag in pieces:
            for part in regex.split(r"(\{text\})", words):
                if part == "{text}":
                    text = self._short(content)
                    bare = len(text) < 30 and self._rng.random() < 0.6
                    quote = "{}" if bare else self._rng.choice([*QUOTES[:6], "{}"])
                    open_, close = quote.split("{}")
                    filled += [(open_, tag), (text, CONTENT), (close, tag)]
                elif part:
                    filled.append((self._fill(part, lang, content.lang), tag))
        return filled

    def _short(self, content: Content) -> str:
        """The text, or another, fit to stand within a sentence."""
        text = content.text
        for _ in range(8):
            if len(text) <= 60:
                break
            if self._rng.random() < 0.7:
                text = self._pool.draw(self._rng, "decoys", content.lang).text
        text = regex.sub(r"\s*\n\s*", " ", text)
        return str(
            text if len(text) <= 200 else (contents.SENTENCE.findall(text) or [text])[0][:200]
        )

    def _fill(self, words: str, lang: str, content_lang: str) -> str:
        for mark in MARK.findall(words):
            words = words.replace(mark, self._value(mark[1:-1], lang, content_lang, words), 1)
        return words

    def _value(self, mark: str, lang: str, content_lang: str, words: str) -> str:
        rng = self._rng
        if mark in {"lang", "langde", "short"}:
            return self._language(mark, lang, content_lang, words)
        if mark == "from":
            return languages.name(content_lang, lang)
        if mark in {"doc", "topic"}:
            named = FILLS[f"{mark}s"]
            return str(rng.choice(named.get(lang, named["en"])))
        if mark == "n":
            return str(rng.choice([5, 10, 20, 25, 30, 40, 60, 80, 150, 200]))
        return self._labelled(lang, pair=mark == "pair")

    def _language(self, mark: str, lang: str, content_lang: str, words: str) -> str:
        rng = self._rng
        if mark == "short":
            self._target = self._target or "en"
            return "英"
        if lang in FILLS["no_languages"] and rng.random() < 0.025:
            return str(rng.choice(FILLS["no_languages"][lang]))
        code = rng.choice([code for code in TARGETS if code != content_lang])
        self._target = self._target or code
        name = languages.name(code, lang)
        if mark == "langde" and regex.search(r"(?:ins|in) \{langde\}", words):
            name += "e" if name.endswith("sch") else ""  # ins Englische
        return name.lower() if rng.random() < 0.15 else name

    def _labelled(self, lang: str, pair: bool) -> str:
        rng = self._rng
        if pair and lang in FILLS["pairs"]:
            return str(rng.choice(FILLS["pairs"][lang]))
        if rng.random() < 0.5:
            names = [n for n in rng.choice(self._labels) if len(n) < 16]
            wide = any(languages.HAN.search(n) for n in names)
            names = names if wide == (lang in {"zh", "ja"}) else []
        else:
            names = []
        if len(names) < 2:
            names = FILLS["labels"]["zh" if lang in {"zh", "ja"} else "en"]
        names = rng.sample(names, min(len(names), rng.choice([2, 3, 3, 3, 4, 5])))
        if lang in {"zh", "ja"}:
            forms = [
                ("、", "还是"),
                ("、", "、"),
                ("，", "，"),
                ("/", "/"),
                ("、", "或"),
                ("、", "和"),
                ("|", "|"),
            ]
        else:
            word = {"en": " or ", "fr": " ou ", "de": " oder ", "es": " o "}[lang]
            forms = [
                (", ", word),
                (", ", ", "),
                ("/", "/"),
                (" | ", " | "),
                (", ", "," + word),
                ("; ", "; "),
                (",", ","),
            ]
        between, last = rng.choice(forms)
        edge = rng.choice(["", "", "", "", "'", '"', "“"])
        marked = [f"{edge}{name}{'”' if edge == '“' else edge}" for name in names]
        text = between.join(marked[:-1]) + last + marked[-1]
        return rng.choice([text, text, text, f"[{text}]", f"({text})"])

    def _placed(self, pieces: Pieces, content: Content, lang: str) -> Pieces:
        """The instruction with the content around which it stands."""
        rng = self._rng
        pieces = self._slips(pieces)
        if any(tag == CONTENT for _, tag in pieces):
            return self._manners(pieces, lang)
        asked = "".join(words for words, _ in pieces)
        tag = pieces[-1][1]
        body: Pieces = [(content.text, CONTENT)]
        if (rng.random() < 0.22 and "\n" not in content.text) or rng.random() < 0.06:
            open_, close = rng.choice(QUOTES).split("{}")
            body = [(open_, tag), *body, (close, tag)]
        if rng.random() < 0.06:
            body = [
                (rng.choice(FILLS["leads"][lang]) + rng.choice(["", " ", "\n"]), tag),
                *body,
            ]
        pieces = self._manners(pieces, lang)
        above = bool(ABOVE.search(asked)) or (not BELOW.search(asked) and rng.random() < 0.3)
        if above:
            gap = rng.choice(["\n\n", "\n\n", "\n", "\n", " ", " ", "\n---\n", " - ", "\n\n\n"])
            if asked.rstrip().endswith((":", "：")):
                pieces[-1] = (pieces[-1][0].rstrip().rstrip(":："), pieces[-1][1])
            return [*body, (gap, tag), *pieces]
        ends = asked.rstrip().endswith((":", "：", ".", "。", "?", "？", "!"))
        wide = lang in {"zh", "ja"}
        gaps = ["\n\n", "\n", "\n\n", "\n", "" if wide else " ", "" if wide else " "]
        if not ends:
            gaps = [
                "\n\n",
                "\n",
                "：" if wide else ": ",
                "：" if wide else ": ",
                ":\n",
                ":\n\n",
                " - ",
                " -> ",
            ]
            gaps += ["。" if wide else ". ", " " if len(body) > 1 else "\n"]
        placed = [*pieces, (rng.choice(gaps), tag), *body]
        if rng.random() < 0.04:
            placed += [
                (
                    "\n\n"
                    + rng.choice({"zh": ["谢谢！", "谢谢"]}.get(lang, ["Thanks!", "Thank you."])),
                    ASIDE,
                )
            ]
        return placed

    def _manners(self, pieces: Pieces, lang: str) -> Pieces:
        """Now and then a greeting before it, or a word that asks for nothing behind."""
        rng = self._rng
        if rng.random() > 0.14:
            return pieces
        asides = self._by_plan[lang, (ASIDE,)]
        words = "".join(words for words, _ in rng.choice(asides).wording(rng))
        words = self._fill(words, lang, "en")
        wide = lang in {"zh", "ja"}
        ended = words.rstrip().endswith((".", "。", "!", "！", ",", "，", ":", "："))
        if rng.random() < 0.4 and not words.rstrip().endswith((":", "：")):
            last, tag = pieces[-1]
            if last.rstrip().endswith((":", "：")) or tag == CONTENT:
                return pieces
            gap = "" if wide else " "
            if not last.rstrip().endswith((".", "。", "?", "？", "!")):
                gap = rng.choice(["，", "。"] if wide else [", ", ". ", " - "])
            return [*pieces, (gap + words, ASIDE)]
        if not ended:
            words += rng.choice(["，", "。"] if wide else [", ", ". ", "; ", " - "])
        return [(words + ("" if wide or words.endswith(" ") else " "), ASIDE), *pieces]

    def _slips(self, pieces: Pieces) -> Pieces:
        """The instruction as people type it: lower case, without its point, with a slip."""
        rng = self._rng
        dice = rng.random()
        if dice < 0.16:
            pieces = [(w if t == CONTENT else w.lower(), t) for w, t in pieces]
        if dice < 0.08 or rng.random() < 0.05:
            words, tag = pieces[-1]
            if tag != CONTENT:
                pieces = [*pieces[:-1], (words.rstrip(" .。?？!"), tag)]
        if rng.random() < 0.04:
            pieces = [(w if t == CONTENT else self._typo(w), t) for w, t in pieces]
        if rng.random() < 0.01:
            pieces = [(w if t == CONTENT else w.upper(), t) for w, t in pieces]
        return [(words, tag) for words, tag in pieces if words]

    def _typo(self, words: str) -> str:
        rng = self._rng
        places = [
            m.start() for m in regex.finditer(r"(?<=\p{Latin}{2})\p{Latin}(?=\p{Latin})", words)
        ]
        if not places:
            return words
        place = rng.choice(places)
        middle = rng.choice(["", words[place] * 2, words[place + 1] + words[place]])
        return (
            words[:place]
            + middle
            + words[place + (2 if len(middle) == 2 and middle[0] != middle[1] else 1) :]
        )
