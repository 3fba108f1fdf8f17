"""How many items a list is asked to have: "Give me three tips", 列出五种水果."""

from __future__ import annotations

import regex

from agent.planning.counts import CHINESE, ENGLISH, HAN, NUMBERS

MAX_ITEMS = 20
_SPOKEN = "|".join([r"\d{1,2}", *ENGLISH[1:]])
# No items of a list, and no words that describe some.
_OTHERS = (
    r"(?:words|lines|pages|paragraphs|sections|chapters|verses|stanzas"
    r"|about|and|as|at|by|for|from|in|into|of|on|or|that|to|with)\b"
)
_ASKS = (
    "list|name|give|write|suggest|tell|share|provide|recommend|show|generate|offer|make|find|need"
    "|come up with|think of|brainstorm|identify|propose|state|mention|outline|what are|which are"
)
_ENGLISH = regex.compile(
    rf"\b(?:{_ASKS})(?: (?:me|us|out|some|a list of|the|of|my|your|his|her|its|their|top|best|up to"
    rf"|exactly|at most))* (?P<number>{_SPOKEN})"
    rf"(?: (?!{_OTHERS})[\p{{L}}'-]+){{0,3}}? (?!{_OTHERS})"
    r"(?:[\p{L}'-]+[\p{L}]s|people|men|women|children)\b",
    regex.I,
)
_SIGNS = rf"\d{{1,2}}|[{CHINESE[1:]}两兩]"
_CHINESE = regex.compile(
    "(?:写|寫|[给給](?!定)|列|说|說|推荐|推薦|提供|举|舉|想|起|取|生成|提出|建议|建議|找出|命名|告诉我|告訴我)"
    rf"[^一，。；：？！,.;:?!\n]{{0,20}}?(?<![第前])(?P<number>{_SIGNS})\s*"
    "(?:个|個|种|種|条|條|点|點|项|項|句|首|本|部|款|道|家|位|名|件|则|則|篇)"
    "(?!小时|小時|星期|月|字|词|詞|单词|單詞|数|數|段|部分|人|孩子)"
)
_COUNTED = regex.compile(
    rf"\b(?:{_SPOKEN})\b|(?:{_SIGNS})(?=\s*\p{{Han}})|(?<=\p{{Han}}\s*)(?:{_SIGNS})", regex.I
)
_GOES_ON = regex.compile(
    r"\b(?:more|another|further|additional|at least)\b|再|另外|还有|還有|更多|至少|之间|之間"
)
_ALSO = regex.compile(  # and what may come behind the list
    rf"\b(?:also|then|each|explain|describe|explanation|and (?:say|discuss|compare|{_ASKS})"
    r"|and (?:\p{L}+ )?(?:why|how|what|which|when|the|their|its|it|them|those|these|your|a|an)"
    r"|with (?:the|their|its|a|an|some))\b"
    "|并|並|然后|然後|同时|同時|分别|分別|解释|解釋|说明|說明",
    regex.I,
)


def find(request: str) -> int | None:
    """The number of items, 2 to 20.

    None where none is asked for, where more than that is, where another number stands beside it,
    which may be the one that counts, and where a list that began before is gone on with.
    """
    found = (_CHINESE if HAN.search(request) else _ENGLISH).search(request)
    if found is None or _GOES_ON.search(request) or _ALSO.search(request):
        return None
    if len(_COUNTED.findall(request)) != 1:
        return None
    said = found["number"].casefold()
    number = int(said) if said.isdecimal() else NUMBERS[said]
    return number if 1 < number <= MAX_ITEMS else None
