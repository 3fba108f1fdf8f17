"""What the browser tests do again and again."""

from playwright.sync_api import Locator, Page, expect

PHONE = {"viewport": {"width": 390, "height": 780}, "is_mobile": True, "has_touch": True}
# Takes long to be answered word by word, and is no loop, which would be ended.
LONG = "word word " + " ".join(
    f"{one}{two}{three}" for one in "bdfgk" for two in "aeiou" for three in "lmnprstvwxyz"
)


def send(page: Page, text: str, wait: bool = True) -> Locator:
    """Write a request and press Enter; gives the last answer, finished unless told not to wait."""
    page.locator("#pb-text").fill(text)
    page.locator("#pb-text").press("Enter")
    expect(page.locator(".pb-said").last).to_contain_text(text.strip()[:30])
    answer = page.locator(".bot-row").last
    if wait:
        expect(answer.locator(".pb-actions")).to_be_visible()
        expect(page.locator("html")).not_to_have_attribute("data-busy", "true")
    return answer


def assert_nothing_sent(page: Page) -> None:
    """The key pressed last sent nothing: what is sent makes the page busy at once."""
    assert page.evaluate("document.documentElement.dataset.busy") is None
    expect(page.locator(".user-row")).to_have_count(0)


def assert_fits(page: Page) -> None:
    """Nothing is wider than the window."""
    wide = """() => [...document.querySelectorAll('#pb-chat-log *, #pb-top *, #pb-bottom *')]
        .filter((element) => element.getBoundingClientRect().right > innerWidth + 1
            && !element.closest('.pb-tip, .pb-hidden, .pb-base em, pre, table'))
        .map((element) => element.className)"""
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate(wide) == []
