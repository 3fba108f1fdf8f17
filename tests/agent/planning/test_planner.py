"""What the planner decides: commands, steps in order, slots, content, follow-ups."""

from __future__ import annotations

import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.cleaning import MAX_CHARACTERS
from agent.planning.planner import Planner
from core.errors import InputError, UnknownName
from tasks.spec import Message

REPORT = (
    "The council met on Tuesday to decide about the old bridge. Engineers said that repairs would "
    "take two summers. The members voted to keep it open for walkers and close it for cars."
)


def said(user: str, assistant: str, task: str | None = None) -> list[Message]:
    """One exchange."""
    return [
        {"role": "user", "content": user, "task": task},
        {"role": "assistant", "content": assistant},
    ]


def route(planner: Planner, text: str, history: list[Message] | None = None) -> list[str]:
    """The tasks of the plan, a target language after a dash."""
    found = []
    for step in planner.plan(text, history or []).steps:
        target = step.slots.get("target")
        found.append(f"{step.task}-{target}" if target else step.task)
    return found


@pytest.mark.parametrize(
    ("text", "task", "content"),
    [
        ("/translate fr The shop is open.", "translation", "The shop is open."),
        ("/translate 法文 商店开门了", "translation", "商店开门了"),
        (f"/summarize {REPORT}", "summarization", REPORT),
        (f"/tldr {REPORT}", "summarization", REPORT),
        ("/sentiment I hate rain", "sentiment", "I hate rain"),
        ("/classify The striker scored twice", "classification", "The striker scored twice"),
        ("/chat translate nothing", "generation", "translate nothing"),
        ("/TRANSLATE fr Good morning", "translation", "Good morning"),
    ],
)
def test_a_command_decides(planner: Planner, text: str, task: str, content: str) -> None:
    plan = planner.plan(text)
    assert plan.reason == "command"
    assert [(step.task, step.confidence, step.text) for step in plan.steps] == [
        (task, 1.0, content)
    ]


def test_a_translate_command_reads_its_language(planner: Planner) -> None:
    assert route(planner, "/translate fr The shop is open.") == ["translation-fr"]
    assert route(planner, "/translate The shop is open.") == ["translation-zh"]
    assert route(planner, "/translate 法文 商店开门了") == ["translation-fr"]


@pytest.mark.parametrize(
    ("text", "slots"),
    [
        ("Translate into German: Hello", ("en", "de")),
        ("Translate into German: Best regards,", ("en", "de")),
        ("Translate into Chinese: EXIT", ("en", "zh")),
        ("Translate into German:\n- Milk\n- Bread\n- Two eggs", ("en", "de")),
        ("翻译成法语：Hello", ("en", "fr")),
        ("Translate into English: Buenas noches", ("es", "en")),
        ("Translate from French into German: Chat", ("fr", "de")),
        ("Translate this French text into English: Chat", ("fr", "en")),
        ("Translate into English: 你好", ("zh", "en")),
        ("/translate de Open", ("en", "de")),
    ],
)
def test_a_few_words_are_in_the_language_that_is_said_or_spoken(
    planner: Planner, text: str, slots: tuple[str, str]
) -> None:
    (step,) = planner.plan(text).steps
    assert (step.slots["source"], step.slots["target"]) == slots


def test_a_few_words_are_in_the_language_of_the_conversation(planner: Planner) -> None:
    history = said("Traduis en anglais : Le magasin est fermé aujourd'hui.", "The shop is closed.")
    (step,) = planner.plan("/translate de Chat", history).steps
    assert step.slots == {"source": "fr", "target": "de"}


def test_a_label_is_not_what_is_translated(planner: Planner) -> None:
    history = said('positive or negative? "Le service était impeccable."', "Positive.", "sentiment")
    (step,) = planner.plan("and what does it say in English", history).steps
    assert step.text == "Le service était impeccable."


def test_an_unknown_command_names_near_ones(planner: Planner) -> None:
    with pytest.raises(UnknownName, match="summarize"):
        planner.plan("/summarise this text")


def test_a_path_is_no_command(planner: Planner) -> None:
    assert route(planner, "/etc/passwd what is it") == ["generation"]


def test_a_command_alone_takes_what_was_said_before(planner: Planner) -> None:
    step = planner.plan("/summarize", said("Tell me about bridges", REPORT)).steps[0]
    assert (step.task, step.text) == ("summarization", REPORT)


def test_the_persons_choice_is_one_step_with_its_slots(planner: Planner) -> None:
    plan = planner.plan('Write a haiku: "old pond" in Spanish', task="translation")
    assert plan.reason == "chosen"
    (step,) = plan.steps
    assert (step.task, step.slots["target"], step.text) == ("translation", "es", "old pond")


def test_an_unknown_choice_is_refused(planner: Planner) -> None:
    with pytest.raises(UnknownName):
        planner.plan("hello", task="telepathy")


@pytest.mark.parametrize(
    ("text", "tasks"),
    [
        ('Translate "write a short review" into Italian', ["translation-it"]),
        ("Tell me about famous translators", ["generation"]),
        ("Which tools do sentiment analysis?", ["generation"]),
        ("How do I write a good summary?", ["generation"]),
        ("What a horrible week I had", ["generation"]),
        (
            f"Shorten this report, then give it to me in Italian: {REPORT}",
            ["summarization", "translation-it"],
        ),
        (
            f'Before translating to German cut it to one sentence: "{REPORT}"',
            ["summarization", "translation-de"],
        ),
        (f"Summarize this in French: {REPORT}", ["summarization", "translation-fr"]),
        (f"Summarize this in English: {REPORT}", ["summarization"]),
        (
            "先概括，再看看是什么语气：“等了一个小时，面是凉的，老板还凶。”",
            ["summarization", "sentiment"],
        ),
        ("write a haiku and put it into Spanish", ["generation", "translation-es"]),
        ("Write a poem in French", ["generation"]),
        ("翻译：图书馆星期一不开门", ["translation-en"]),
        ("translate: The museum is closed on Mondays.", ["translation-zh"]),
        ("en > vi: how much for two bowls", ["translation-vi"]),
        ("Is this review positive or negative? The room was tiny.", ["sentiment"]),
    ],
)
def test_what_is_asked_routes(planner: Planner, text: str, tasks: list[str]) -> None:
    assert route(planner, text) == tasks


def test_only_the_first_step_has_content(planner: Planner) -> None:
    plan = planner.plan(f"Shorten this report, then give it to me in Italian: {REPORT}")
    assert [step.text for step in plan.steps] == [REPORT, None]
    assert plan.steps[1].slots == {"target": "it", "source": "en"}


def test_a_plan_shows_why(planner: Planner) -> None:
    step = planner.plan(f"Could you summarize this? {REPORT}").steps[0]
    assert step.nearest
    assert 0.5 < step.confidence <= 1
    assert planner.plan("hello there").milliseconds > 0


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ('Translate "the door is open" into Welsh', "the door is open"),
        ("把「门开着」翻译成英文", "门开着"),
        ("Translate «the door is open» into Welsh", "the door is open"),
        ("Put this into Welsh: the door is open", "the door is open"),
        ("Put this into Welsh.\nThe door is open.", "The door is open."),
        ("The door is open.\n\nput the above into Welsh", "The door is open."),
    ],
)
def test_the_content_is_found(planner: Planner, text: str, content: str) -> None:
    assert planner.plan(text).steps[0].text == content


def test_conversation_gets_the_whole_request(planner: Planner) -> None:
    text = 'Rewrite "open the door" so it sounds friendlier'
    assert planner.plan(text).steps[0].text == text


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("Sports, business or tech? The phone sold out.", ["Sports", "business", "tech"]),
        (
            'which of these: refund, delivery or other? "where is it"',
            ["refund", "delivery", "other"],
        ),
        ("体育、财经还是科技？“手机卖光了”", ["体育", "财经", "科技"]),
    ],
)
def test_labels_are_the_persons_own(planner: Planner, text: str, labels: list[str]) -> None:
    (step,) = planner.plan(text).steps
    assert (step.task, step.slots.get("labels")) == ("classification", labels)


@pytest.mark.parametrize("text", ["这个真不错", "What is this?", "Bonne nuit, et merci à tous."])
def test_what_asks_for_no_skill_is_the_content_of_a_chosen_one(planner: Planner, text: str) -> None:
    (step,) = planner.plan(text, task="translation").steps
    assert step.text == text


def test_length_is_a_slot(planner: Planner) -> None:
    bullets = {"length": "bullets", "count": "3"}
    assert planner.plan(f"Three bullets please: {REPORT}").steps[0].slots == bullets
    assert planner.plan(f"Summarize: {REPORT}").steps[0].slots == {"length": "sentence"}


def test_the_same_for_this_one(planner: Planner) -> None:
    history = said(f"Summarize this in French: {REPORT}", "Le conseil…")
    plan = planner.plan("the same for this one: The pool closes in May for repairs.", history)
    assert plan.reason == "follow-up"
    assert [step.task for step in plan.steps] == ["summarization", "translation"]
    assert plan.steps[0].text == "The pool closes in May for repairs."
    assert plan.steps[1].slots["target"] == "fr"


def test_a_summary_made_shorter_works_on_the_original(planner: Planner) -> None:
    history = said(f"Summarize: {REPORT}", "The bridge stays open for walkers.")
    (step,) = planner.plan("make it two bullets", history).steps
    assert (step.task, step.text) == ("summarization", REPORT)
    assert step.slots == {"length": "bullets", "count": "2"}


def test_another_language_works_on_the_source(planner: Planner) -> None:
    history = said(
        "Translate to French: the shop opens at nine.", "Le magasin ouvre à neuf heures."
    )
    (step,) = planner.plan("and in Korean?", history).steps
    assert (step.task, step.slots["target"], step.text) == (
        "translation",
        "ko",
        "the shop opens at nine.",
    )


CHAIN = f"Summarize this and translate it into French: {REPORT}"


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("and in German?", ["summarization", "translation-de"]),
        ("Now in Spanish, please.", ["summarization", "translation-es"]),
        ("那日语呢？", ["summarization", "translation-ja"]),
        ("and in English?", ["summarization"]),
    ],
)
def test_another_language_after_a_compound_repeats_all_of_it(
    planner: Planner, text: str, steps: list[str]
) -> None:
    history = said(CHAIN, "- One point.\n\n- Another point.\n\nLe pont reste ouvert.")
    plan = planner.plan(text, history)
    assert (plan.steps[0].text, plan.reason) == (REPORT, "follow-up")
    assert [
        f"{step.task}-{step.slots['target']}" if "target" in step.slots else step.task
        for step in plan.steps
    ] == steps


def test_another_language_after_a_compound_takes_the_result_that_is_at_hand(
    planner: Planner,
) -> None:
    history = said(CHAIN, "The bridge stays open.\n\nLe pont reste ouvert.")
    (step,) = planner.plan("and in German?", history).steps
    assert (step.slots["target"], step.text) == ("de", "The bridge stays open.")


def test_results_that_were_said_to_be_so_may_have_paragraphs(planner: Planner) -> None:
    history = said(CHAIN, "Le pont reste ouvert.")
    history[1]["results"] = ["The bridge\n\nstays open.", "Le pont reste ouvert."]
    (step,) = planner.plan("and in German?", history).steps
    assert (step.slots["target"], step.text) == ("de", "The bridge\n\nstays open.")


def test_another_length_after_a_compound_repeats_all_of_it(planner: Planner) -> None:
    history = said(CHAIN, "The bridge stays open.\n\nLe pont reste ouvert.")
    steps = planner.plan("make it three bullets", history).steps
    assert [step.task for step in steps] == ["summarization", "translation"]
    assert (steps[0].slots, steps[0].text) == ({"length": "bullets", "count": "3"}, REPORT)


def test_the_original_of_a_compound_is_the_whole_text(planner: Planner) -> None:
    history = said(CHAIN, "The bridge stays open.\n\nLe pont reste ouvert.")
    (step,) = planner.plan("translate the original into German", history).steps
    assert (step.slots["target"], step.text) == ("de", REPORT)


def test_your_answer_is_the_last_one(planner: Planner) -> None:
    (step,) = planner.plan(
        "translate your answer into Chinese", said("Why tides?", "The Moon.")
    ).steps
    assert (step.task, step.slots["target"], step.text) == ("translation", "zh", "The Moon.")


def test_a_known_task_wins_over_planning_the_turn_again(planner: Planner) -> None:
    history = said("The room was tiny.", "negative", task="sentiment")
    plan = planner.plan("那这条呢：“早餐很好吃，前台也热情。”", history)
    assert [step.task for step in plan.steps] == ["sentiment"]


@pytest.mark.parametrize("text", ["", "  \n", "\x00\x07", "\u200b\ufeff"])
def test_empty_text_is_refused(planner: Planner, text: str) -> None:
    with pytest.raises(InputError, match="no text to answer"):
        planner.plan(text)


@pytest.mark.parametrize("filler", ["word ", "字", '"', "a, b or ", "\n", "then ", "French "])
def test_the_longest_text_is_planned_at_once(planner: Planner, filler: str) -> None:
    begin, end = "Summarize this: x ", " x"
    room = MAX_CHARACTERS - len(begin) - len(end)
    text = begin + filler * (room // len(filler)) + end
    planner.plan(text)
    started = time.process_time()
    planner.plan(text)
    assert time.process_time() - started < 0.5  # some 0.03 s alone on two cores


def test_what_came_as_a_file_stays_content_in_later_turns(planner: Planner) -> None:
    content = "Summarize the rules, then write to the mayor. The bridge is old."
    history = said(f"Translate this into French\n\n{content}", "Le pont est vieux.")
    history[0]["attached"] = content
    (step,) = planner.plan("and into German?", history).steps
    assert (step.task, step.slots["target"], step.text) == ("translation", "de", content)


def test_a_longer_text_is_refused(planner: Planner) -> None:
    with pytest.raises(InputError, match="at most 200,000"):
        planner.plan("x" * (MAX_CHARACTERS + 1))


def test_a_long_conversation_of_follow_ups_stays_cheap(planner: Planner) -> None:
    history = said("Translate to French: the shop", "le magasin")
    for _ in range(40):
        history += said("and in Korean?", "가게")
    started = time.process_time()
    planner.plan("and in Italian?", history)
    assert time.process_time() - started < 2.0


PIECES = st.lists(
    st.sampled_from(
        [
            "translate",
            "翻译",
            '"',
            "“",
            "”",
            ":",
            "：",
            "\n",
            "and",
            "then",
            "再",
            "/x",
            ", ",
            "or",
            "还是",
            "French",
            "法语",
            "in",
            "before",
            "first",
            "之前",
            "—",
            ">",
            "```",
            "it",
            "👩‍👩‍👧",
            "\x00",
        ]
    ),
    min_size=1,
).map(" ".join)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(text=st.one_of(st.text(max_size=200), PIECES), earlier=st.one_of(st.none(), PIECES))
def test_nothing_breaks_it(planner: Planner, text: str, earlier: str | None) -> None:
    history = said(earlier, "ok") if earlier is not None else []
    try:
        plan = planner.plan(text, history)
    except InputError:
        return
    assert plan.steps
    assert plan.steps[0].text
    assert all(0 <= step.confidence <= 1 for step in plan.steps)


def test_instructions_to_the_chat_are_no_earlier_turn(planner: Planner) -> None:
    history: list[Message] = [{"role": "system", "content": "Translate everything to Danish."}]
    assert planner.plan("Summarize", history).reason == planner.plan("Summarize").reason


@pytest.mark.parametrize(
    "text",
    [
        "Translate this into Hebrew and into Romanian: The bus leaves from platform six.",
        "Translate this into Hebrew and then into Romanian: The bus leaves from platform six.",
        "把“路上小心”译成希伯来语，再译成罗马尼亚语。",
    ],
)
def test_each_language_asked_for_gets_its_step(planner: Planner, text: str) -> None:
    steps = planner.plan(text).steps
    assert [step.slots["target"] for step in steps] == ["he", "ro"]
    assert steps[0].text == steps[1].text
