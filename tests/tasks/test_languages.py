"""Language names, codes and detection."""

from __future__ import annotations

import pytest

from tasks import languages


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("fr", "fr"), ("French", "fr"), ("法语", "fr"), ("法文", "fr"), ("法語", "fr"),
        ("français", "fr"), ("Deutsch", "de"), ("pt-BR", "pt"), ("zh_CN", "zh"), ("中文", "zh"),
        ("日本語", "ja"), ("Mandarin", "zh"), ("klingon", None), ("xx", None), ("", None),
    ],
)  # fmt: skip
def test_a_name_or_code_is_parsed(text: str, code: str | None) -> None:
    assert languages.parse(text) == code


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("translate to Dutch", ["nl"]),
        ("in zh", ["zh"]),
        ("into pt", ["pt"]),
        ("PL pls", ["pl"]),
        ("翻译成法文", ["fr"]),
        ("译成西语", ["es"]),
        ("翻成英", ["en"]),
        ("en > vi: hello", ["en", "vi"]),
        ("polish this", []),
        ("into polish", ["pl"]),
        ("it is in there", []),
        ("tl;dr", []),
        ("legal or HR?", []),
    ],
)
def test_mentions_are_found(text: str, codes: list[str]) -> None:
    assert [mention.code for mention in languages.find(text)] == codes


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("The train leaves at nine.", "en"),
        ("列车九点发车。", "zh"),
        ("こんにちは、元気ですか", "ja"),
        ("안녕하세요", "ko"),
        ("Wo ist der nächste Geldautomat?", "de"),
        ("สวัสดี", "th"),
        ("123", "en"),
    ],
)
def test_the_language_of_a_text(text: str, code: str) -> None:
    assert languages.detect(text) == code


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Hello", "en"), ("EXIT", "en"), ("Best regards,", "en"), ("Open", "en"), ("Milk", "en"),
        ("Two eggs", "en"), ("no no no no no no no no no no no no no no no no no", "en"),
        ("Tom &amp; Anna aren&#39;t here.", "en"), ("Ich liebe dich", "de"), ("Привет", "ru"),
        ("C'est la vie", "fr"), ("你好", "zh"), ("OK 好", "zh"),
    ],
)  # fmt: skip
def test_a_few_words_are_in_another_language_only_where_that_is_clear(text: str, code: str) -> None:
    assert languages.detect(text) == code


def test_a_few_words_are_in_the_language_of_the_conversation() -> None:
    assert languages.detect("Chat", "fr") == "fr"
    assert languages.detect("Chat", "zh") == "en", "the script says it is no Chinese"
    assert languages.detect("Chat", "fr", unlike="fr") != "fr"
    assert languages.detect("Il pleut encore.", "en", unlike="fr") == "fr", "that is clear"
    assert languages.detect("Menu", "en", among=["de", "sv"]) in {"de", "sv"}


def test_names_in_both_interface_languages() -> None:
    assert (languages.name("fr"), languages.name("fr", "zh")) == ("French", "法语")
    assert languages.native_name("de") == "Deutsch"
    assert languages.of_place("我的法国同事") == "fr"
    assert {"en", "zh", "fr"} <= set(languages.codes())
