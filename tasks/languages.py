"""Languages by ISO 639-1 code: their names, the names found in a text, the language of a text."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import langcodes
import regex
import yaml
from py3langid.langid import MODEL_FILE, LanguageIdentifier

NAMES_FILE = Path(__file__).with_name("language_names.yaml")
# By script, the languages that short texts are told among, the likeliest first. Of 1,986 sentences
# of Tatoeba of under 40 characters, in English, French and German, that is right for 1,961 (among
# all languages: 1,958), and of 64 English words of menus for 63 (13).
FREQUENT = {
    "Latn": [
        "en", "fr", "de", "es", "it", "pt", "nl", "pl", "sv", "da", "no", "fi", "cs", "hu", "ro",
        "tr", "id", "vi",
    ],
    "Cyrl": ["ru", "uk", "bg", "sr"],
    "Arab": ["ar", "fa", "ur"],
}  # fmt: skip
SCRIPT_LETTERS = {  # ISO 15924
    "Latn": regex.compile(r"\p{Latin}"),
    "Cyrl": regex.compile(r"\p{Cyrillic}"),
    "Arab": regex.compile(r"\p{Arabic}"),
}
TELLABLE_LETTERS = 40  # of different words, from which the classifier is believed
SURE, LIKELY = 0.7, 0.5  # probability from which it is in fewer: among all, among the frequent
DETECTED_CHARACTERS = 2000  # characters that decide the language of a text
RETIRED = {"bh", "in", "iw", "ji", "jw", "mo", "sh"}
# Two-letter codes that are everyday English words; they count only in capitals.
WORD_CODES = {
    "am",
    "an",
    "as",
    "be",
    "by",
    "do",
    "go",
    "he",
    "hi",
    "id",
    "if",
    "in",
    "is",
    "it",
    "me",
    "my",
    "no",
    "of",
    "on",
    "or",
    "so",
    "to",
    "us",
    "we",
}
# Names that are also everyday words; they count only with a capital or after "in", "into", "to".
WORD_NAMES = {"polish", "ewe", "fula", "manx", "cree", "ido", "lao", "brazilian", "haitian", "pole"}
CAPITAL_ONLY = {"pole", "poles", "dane", "danes", "swede", "swedes", "turk", "turks", "ewe", "ido"}
LANGUAGE_SCRIPTS = {  # a script used by one language, with the share of letters that decides
    "ja": regex.compile(r"[\p{Hiragana}\p{Katakana}]"),
    "ko": regex.compile(r"\p{Hangul}"),
    "zh": regex.compile(r"\p{Han}"),
    "th": regex.compile(r"\p{Thai}"),
    "el": regex.compile(r"\p{Greek}"),
    "he": regex.compile(r"\p{Hebrew}"),
}
LANGUAGE_PAIR = regex.compile(
    r"\s*([a-zA-Z]{2})\s?(?:[-=]?>|→|2|to|-)\s?([a-zA-Z]{2})\b"
)  # "en > vi"
# Languages whose French, German and Spanish names are known too; a rarer one's may be a plain word.
NAMED_ABROAD = [
    "ar", "bg", "bn", "ca", "cs", "cy", "da", "de", "el", "en", "es", "et", "eu", "fa",
    "fi", "fr", "ga", "he", "hi", "hr", "hu", "id", "is", "it", "ja", "ko", "lt", "lv",
    "ms", "nl", "no", "pl", "pt", "ro", "ru", "sk", "sl", "sq", "sr", "sv", "sw", "ta",
    "th", "tr", "uk", "ur", "vi", "zh",
]  # fmt: skip
LETTER = regex.compile(r"\p{L}")
HAN = regex.compile(r"\p{Han}")
ALPHABETIC_WORD = regex.compile(r"(?:(?!\p{Han})[\p{L}\p{M}])+")
LEADS_TO_LANGUAGE = regex.compile(
    r"(?:^|\b)(?:in|into|to|auf|ins|en|al)\s*$|(?:[成为]|→|->|=>)\s*$", regex.I
)
NOTHING_MORE = regex.compile(r"\s*(?:please|pls|plz|version|[:：]|$)", regex.I)


@dataclass(frozen=True)
class Mention:
    """A language named in a text: its code and the place, `text[start:end]`."""

    code: str
    start: int
    end: int


@cache
def codes() -> tuple[str, ...]:
    """Every ISO 639-1 code in use, sorted."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    pairs = (a + b for a in letters for b in letters)
    return tuple(p for p in pairs if p not in RETIRED and langcodes.get(p).is_valid())


def name(code: str, language: str = "en") -> str:
    """What the language is called in another one: `name("fr", "zh")` is 法语."""
    return str(langcodes.get(code).display_name(language))


def native_name(code: str) -> str:
    """What the language calls itself: `native_name("de")` is Deutsch."""
    return str(langcodes.get(code).autonym())


def parse(text: str) -> str | None:
    """The code for a code or a name in English, Chinese or the language itself; else None.

    Of the usual languages the French, German, Spanish and Japanese names are known as well.
    """
    word = unicodedata.normalize("NFC", text).strip().casefold()
    if word in _all_names():
        return _all_names()[word]
    base = word.replace("_", "-").split("-")[0]
    return base if base in _codes() and len(word) in {2, 5, 7} else None


def find(text: str) -> list[Mention]:
    """Every language named in the text, in order. Long text is the caller's to cut."""
    pair = LANGUAGE_PAIR.match(text)
    if pair and {pair[1].lower(), pair[2].lower()} <= _codes():
        mentions = [Mention(pair[n].lower(), *pair.span(n)) for n in (1, 2)]
        return mentions + [m for m in _in_letters(text) if m.start >= pair.end()]
    mentions = _in_letters(text)
    if HAN.search(text):
        mentions += _in_chinese(text)
    return sorted(mentions, key=lambda mention: mention.start)


def _in_letters(text: str) -> list[Mention]:
    """Languages named in an alphabet, by the longest name of up to three words, or by code."""
    words = list(ALPHABETIC_WORD.finditer(text))
    mentions, index = [], 0
    while index < len(words):
        for length in (3, 2, 1):
            last = words[min(index + length, len(words)) - 1]
            code = _code_of(text, words[index].start(), last.end())
            if code is not None:
                mentions.append(Mention(code, words[index].start(), last.end()))
                index += length - 1
                break
        index += 1
    return mentions


def _in_chinese(text: str) -> list[Mention]:
    mentions = []
    for match in _chinese_pattern().finditer(text):
        short = match["after"] or match["pair"]
        code = _short_names()[short] if short else _chinese_names()[match.group()]
        mentions.append(Mention(code, match.start(), match.end()))
    return mentions


def of_place(text: str) -> str | None:
    """The main language of the first country the text names, in English or Chinese."""
    match = _places_pattern().search(text)
    return _places()[match.group()] if match else None


def detect(
    text: str,
    default: str = "en",
    *,
    unlike: str | None = None,
    among: Collection[str] | None = None,
) -> str:
    """The language a text is written in, judged on its first 2000 characters.

    A script of one language decides. In a few words languages of one script look alike ("Hello" is
    Breton to a classifier), so what is not clear gives the default.

    Args:
        text: any text; without letters it gives the default.
        default: what is likely, by the conversation that the text stands in.
        unlike: a language that a text is not in where that is not clear: the one it is wanted in.
        among: the only languages it can be in; the likeliest of them is given.
    """
    sample = text[:DETECTED_CHARACTERS]
    letters = len(LETTER.findall(sample))
    if letters == 0:
        return default
    for code, script in LANGUAGE_SCRIPTS.items():
        # A Han character says as much as a short word, so a few of them outweigh Latin letters.
        if len(script.findall(sample)) >= letters * (0.15 if code in {"ja", "ko", "zh"} else 0.4):
            return code
    if among is not None:
        ranked = (code for code, _ in _classifier().rank(sample) if code in among)
        return next(ranked, default)
    words = " ".join(dict.fromkeys(sample.split()))  # a word says no more when it is said again
    short = len(LETTER.findall(words)) < TELLABLE_LETTERS
    shared = (
        code for code, own in SCRIPT_LETTERS.items() if 2 * len(own.findall(sample)) >= letters
    )
    code, probability = _classifier().classify(words if short else sample)
    if short and (probability < SURE or code not in _codes()) and (script := next(shared, None)):
        return _of_few_words(words, script, default, unlike)
    return str(code) if code in _codes() else default


def _of_few_words(words: str, script: str, default: str, unlike: str | None) -> str:
    """The language of a short text in a script of many."""
    ranked = _classifier(script).rank(words)
    code, probability = ranked[0]
    if probability >= LIKELY:
        return str(code)
    if _script(default) != script:
        default = FREQUENT[script][0]
    if default != unlike:
        return default
    return str(next(code for code, _ in ranked if code != unlike))


@cache
def _classifier(script: str = "") -> Any:
    """Of all languages, or of the frequent ones of a script."""
    classifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    classifier.set_languages(FREQUENT.get(script))
    return classifier


@cache
def _script(code: str) -> str | None:
    return langcodes.get(code).maximize().script


@cache
def _codes() -> frozenset[str]:
    return frozenset(codes())


@cache
def _extra() -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load(NAMES_FILE.read_text(encoding="utf-8"))
    return values


@cache
def _latin_names() -> dict[str, str]:
    names: dict[str, str] = {}
    for code in codes():
        for word in (name(code, "en"), native_name(code), name(code, "en").split(" (")[0]):
            names.setdefault(word.casefold(), code)
    for code in NAMED_ABROAD:
        names.update({name(code, abroad).casefold(): code for abroad in ("fr", "es")})
        german = name(code, "de").casefold()
        names.update({german: code, german + "e": code})  # auf Englisch, ins Englische
    for part in ("en", "people"):
        for code, words in _extra()[part].items():
            names.update({word.casefold(): code for word in words})
    return {word: code for word, code in names.items() if not regex.search(r"\p{Han}", word)}


@cache
def _chinese_names() -> dict[str, str]:
    names: dict[str, str] = {}
    for code in codes():
        for word in (name(code, "zh"), name(code, "zh-Hant"), native_name(code)):
            if regex.fullmatch(r"\p{Han}+", word):
                for spelling in _spellings(word):
                    names.setdefault(spelling, code)
    for code, words in _extra()["zh"].items():
        names.update({spelling: code for word in words for spelling in _spellings(word)})
    for code, short in _extra()["short"].items():
        names.update(dict.fromkeys(_spellings(short + "语"), code))
    names.update({name(code, "ja"): code for code in codes() if name(code, "ja").endswith("語")})
    return names


@cache
def _places() -> dict[str, str]:
    places = {}
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    for territory in (a + b for a in letters for b in letters):
        tag = langcodes.Language.make(territory=territory)
        code = str(tag.maximize().language)
        if code in _codes() and territory not in {"AQ", "ZZ"}:
            places.update({tag.territory_name(in_): code for in_ in ("en", "zh")})
    return {place: code for place, code in places.items() if "未知" not in place and len(place) > 1}


@cache
def _places_pattern() -> regex.Pattern[str]:
    names = "|".join(regex.escape(place) for place in sorted(_places(), key=len, reverse=True))
    return regex.compile(rf"(?<!\p{{Latin}})(?:{names})(?!\p{{Latin}})")


def _spellings(word: str) -> list[str]:
    stem = word.removesuffix("语").removesuffix("文")
    return [word] if stem == word or not stem else [stem + end for end in "语文語"]


@cache
def _all_names() -> dict[str, str]:
    return {**_latin_names(), **_chinese_names()}


@cache
def _short_names() -> dict[str, str]:
    return {short: code for code, short in _extra()["short"].items()}


@cache
def _chinese_pattern() -> regex.Pattern[str]:
    names = "|".join(sorted(_chinese_names(), key=len, reverse=True))
    shorts = "".join(_short_names())
    return regex.compile(
        rf"(?P<name>{names})"
        rf"|(?<=[译譯翻成为])(?P<after>[{shorts}])(?!\p{{Han}})"
        rf"|(?<=[中英]译)(?P<pair>[{shorts}])"
    )


def _code_of(text: str, start: int, end: int) -> str | None:
    """The code for a word or a few of them, unless they mean something else where they stand."""
    word = text[start:end]
    low = word.casefold()
    named = _latin_names().get(low)
    if named is None and (low not in _codes() or text[start - 1 : start] in {"'", "’", "/", "-"}):
        return None
    is_led_to = LEADS_TO_LANGUAGE.search(text[max(0, start - 8) : start]) is not None
    small = word == low
    if named is not None:
        barred = small and (low in CAPITAL_ONLY or (low in WORD_NAMES and not is_led_to))
        return None if barred else named
    alone = not text[:start].strip() and NOTHING_MORE.match(text[end:]) is not None
    plain = word.isupper() or low not in WORD_CODES
    return low if plain and (is_led_to or alone) else None
