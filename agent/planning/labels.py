"""The person's own label list in an instruction, in any form that people write lists."""

from __future__ import annotations

import regex

MOST_WORDS, MOST_HAN = 5, 14  # of one label
LIST_START = regex.compile(
    r"\b(?:labels?|categories|category|classes|options|choices|tags|topics|teams?|departments?|intents?"
    r"|sections?|these|étiquettes|catégories|rubriques|choix|kategorien|rubriken|auswahl|etiquetas"
    r"|categorías|opciones|secciones|whether|if)\b[^:：,，、/|;；]*?(?:[:：]|\bare\b)\s*"
    r"|(?:类别|标签|分类|选项|栏目|类型|种类|カテゴリ|ラベル|選択肢)\p{Han}{0,4}?[:：是为有]\s*",
    regex.I,
)
SENTENCE_BREAK = regex.compile(r"(?<=[.!?。？！])\s+|(?<=[。？！])|\n")
BRACKETED = regex.compile(r"[\[【(（{]([^\[\]【】()（）{}\n]{3,300})[\]】)）}]")
QUOTED = regex.compile(
    r"'([^'\n]{1,60})'|\"([^\"\n]{1,60})\"|“([^”\n]{1,60})”|「([^」\n]{1,60})」|‘([^’\n]{1,60})’|`([^`\n]{1,60})`"
)
OR = (
    r"(?:\s+(?:or|and|oder|und|ou|et|o|u|y|vs\.?|versus)\s+"
    r"|\s*(?:还是|或者|或|以及|和|還是|か|または|それとも|&)\s*)"
)
BETWEEN = regex.compile(
    rf"(?:\s*[,，、;；/|]\s*(?:or|oder|ou|o|and|还是|或者?)?(?:\s+|(?<=[是或者])|(?<=[,，、;；/|]\s*)))|{OR}",
    regex.I,
)
CHOICE = regex.compile(
    r"\b(?:or|oder|ou|o|u|vs\.?|versus)\b|还是|或|還是|か、|または|それとも|[、/|]|[,，;；].*[,，;；]",
    regex.I,
)
# What stands before the first label, and behind the last.
LEAD = regex.compile(
    r"^.*(?:\b(?:as|into|in|under|to|is|are|was|it|this|that|these|from|of|among|amongst|between|with|whether|if"
    r"|fits?|best|labels?|categor(?:y|ies)|classes|options?|one|either|be|about|for|a|an|the|out|go|goes|belongs?"
    r"|message|text|comment|review|ticket|headline|article|story|piece|news|email|tag|mail|statement|sentence|item"
    r"|como|en|entre|es|dans|parmi|est|est-ce|comme|c'est|als|ist|das|unter|zu|aus|von)\b(?:\s*:)?\s+"
    r"|[:：?？]\s*|(?:属于|是|为|成|到|入|从|在|归|放|算|于|按|用|根据|选|有|はどれ|は|を)(?=\p{Han}))(?=\S)",
    regex.I,
)
TAIL = regex.compile(
    r"(?:\s*[?？.。:：!！,，;；]+\s*|\s+(?:fits?|applies|suits)(?:\s+(?:best|it|this))?"
    r"|\s+(?:please|pls|ein|zu|in tone|for this|for me)|のどれ(?:か|ですか)?|(?:中的?一类|之一"
    r"|中|里|当中|这几类|这些标签|哪一?[类个种]|三类|两类|选一?个|选择|分类|吗|呢|に|の)\W*)+$",
    regex.I,
)
ARTICLE = regex.compile(
    r"^(?:an?|the|either|be|is|it's|une?|eine?|un|una|la|le|el|der|die|das)\s+", regex.I
)
ASKS = regex.compile(
    r"^(?:which|what|who|where|how|is|are|does|do|please|classify|label|tag|sort|put|pick|choose|decide|tell|say"
    r"|route|assign|file|categori[sz]e|quel\w*|welche\w*|qué|cuál)\b|^(?:请|把|将|给|判断|这)|[?？]",
    regex.I,
)


def find(text: str) -> list[str] | None:
    """The labels, in order and without doubles; None where there are not two.

    Args:
        text: an instruction without its content.
    """
    for attempt in (_bracketed, _quoted, _listed):
        names = attempt(text)
        if names and len(set(names)) > 1:
            return _with_not(list(dict.fromkeys(names)))
    return None


def _bracketed(text: str) -> list[str]:
    for match in BRACKETED.finditer(text):
        names = _split(match[1])
        if len(names) > 1 and all(map(_is_label, names)):
            return names
    return []


def _quoted(text: str) -> list[str]:
    """Quoted labels with nothing but commas and the like between them."""
    marks = list(QUOTED.finditer(text))
    for first in range(len(marks)):
        names = [_inside(marks[first])]
        for one, two in zip(marks[first:], marks[first + 1 :], strict=False):
            between = text[one.end() : two.start()]
            if not BETWEEN.fullmatch(between) and between.strip():
                break
            names.append(_inside(two))
        if len(names) > 1:
            return names
    return []


def _listed(text: str) -> list[str]:
    """Labels behind a colon, else between the words of a sentence; the longest such list."""
    start = LIST_START.search(text)
    passages = SENTENCE_BREAK.split(text[start.end() :])[:1] if start else []
    passages += SENTENCE_BREAK.split(text)
    found = [
        _in_passage(passage, led=start is not None and not i) for i, passage in enumerate(passages)
    ]
    found = [names for names in found if len(names) > 1]
    return max(found[:1] if start else found, key=len, default=[])


def _in_passage(passage: str, led: bool) -> list[str]:
    """The labels of a passage; `led`: it comes after "labels:" and is surely a list."""
    passage = TAIL.sub("", passage)
    if not led and not CHOICE.search(passage):
        return []
    for part in (regex.split(r"[:：]\s*", passage)[-1], passage):
        names = _split(part)
        if len(names) > 1:
            names[0] = _after_lead(names[0])
            names[-1] = _before_tail(names[-1])
            names = [name for name in names if name and not ASKS.search(name)]
            if len(names) > 1 and all(map(_is_label, names)):
                return names
    return []


def _split(passage: str) -> list[str]:
    parts = [TAIL.sub("", part.strip().strip("'\"“”‘’「」`")) for part in BETWEEN.split(passage)]
    return [name for name in (ARTICLE.sub("", part.strip(" …")) for part in parts) if name]


def _after_lead(name: str) -> str:
    if ASKS.search(name) and LEAD.search(name) is None:
        return ""
    rest = name
    while (match := LEAD.match(rest)) and match.end() < len(rest):
        rest = rest[match.end() :]
    if rest == name and ASKS.search(name):
        return ""
    return (
        ""
        if regex.fullmatch(r"(?:fits?|best|is it|it|this|applies|belongs?)\b.*", rest, regex.I)
        else ARTICLE.sub("", rest)
    )


def _before_tail(name: str) -> str:
    return str(TAIL.sub("", name))


def _is_label(name: str) -> bool:
    words = len(regex.findall(r"\p{Han}", name))
    return (words <= MOST_HAN if words else len(name.split()) <= MOST_WORDS) and not regex.search(
        r"[?？。\n]", name
    )


def _inside(match: regex.Match[str]) -> str:
    return str(next(group for group in match.groups() if group is not None)).strip()


def _with_not(names: list[str]) -> list[str]:
    """`spam or not` as `spam` and `not spam`."""
    if len(names) == 2 and names[1].casefold() == "not":
        names[1] = f"not {names[0]}"
    return names
