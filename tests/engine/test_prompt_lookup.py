"""Guesses at next tokens: what is worth a guess, and how many."""

from __future__ import annotations

from engine.prompt_lookup import ANY_COST, EACH_COST, GuessCost, PromptLookup

MOST, COST = 7, GuessCost()
TEXT = list(range(100, 140))


def test_what_is_copied_is_guessed_and_more_of_it_as_it_goes_on() -> None:
    lookup, counts = PromptLookup(TEXT, COST), list[int]()
    for token in TEXT[10:13]:
        lookup.add(token)
    for i in range(13, 30):
        guesses = lookup.guess(MOST)
        assert list(guesses) == TEXT[i : i + len(guesses)]
        counts.append(len(guesses))
        lookup.add(TEXT[i])
    assert all(counts)
    assert counts[-1] == MOST
    assert counts == sorted(counts)


def test_no_more_is_guessed_than_is_of_use() -> None:
    lookup = PromptLookup([*TEXT, *TEXT[:5]], COST)
    assert lookup.guess(0) == ()
    assert lookup.guess(1) == (TEXT[5],)
    assert PromptLookup(TEXT, COST).guess(MOST) == (), "nothing of it stood before"


def test_what_was_wrong_again_and_again_is_guessed_no_more_until_it_would_be_right() -> None:
    lookup = PromptLookup(TEXT, COST)

    def starts(at: int) -> int:
        for token in TEXT[at : at + 2]:
            lookup.add(token)
        return len(lookup.guess(MOST))

    for at in range(0, 20, 2):
        starts(at)
        lookup.add(-at - 1)  # it goes on otherwise
    assert starts(20) == 0
    for token in TEXT[22:30]:
        lookup.add(token)  # unguessed, it is right now
    assert lookup.guess(MOST)


def test_the_latest_place_is_taken() -> None:
    lookup = PromptLookup([1, 2, 3, 4, 50, 1, 2, 3, 4, 60, 1, 2, 3, 4], COST)
    assert lookup.guess(1) == (60,)


def test_what_a_guess_costs_is_known_by_the_passes() -> None:
    cost = GuessCost()
    cost.took(3, 9.0)
    assert cost.each == EACH_COST, "nothing to compare with"
    for _ in range(200):
        cost.took(0, 10.0)
        cost.took(4, 10.0 * (1 + ANY_COST + 4 * 0.3))
    assert abs(cost.each - 0.3) < 0.01
    cost.took(1, 1000.0)  # it was held up
    assert cost.each < 0.4


def test_a_machine_on_which_guesses_cost_as_much_as_passes_makes_none() -> None:
    cost = GuessCost()
    cost.each = 1.0
    assert PromptLookup([*TEXT, *TEXT[:5]], cost).guess(MOST) == ()
