"""A Modelfile: how Ollama asks an exported model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.spec import TaskSpec

# What no prompt holds, to find again where a chat template put it.
SYSTEM, USER, ANSWER, AGAIN = "⟦system⟧", "⟦user⟧", "⟦answer⟧", "⟦again⟧"


def text(task: TaskSpec, fills: Mapping[str, str], tokenizer: Any, licence: str, file: str) -> str:
    """The file's text: the task's prompt around what a person says.

    Args:
        fills: what each slot says in the prompt.
        tokenizer: with the chat template and the token that ends a turn.
        licence: what has to be said of it.
        file: the GGUF beside it.

    Raises:
        InputError: a slot has no value.
    """
    decoding = task.decoding
    asked = task.messages(USER, fills)
    system = "".join(turn["content"] for turn in asked if turn["role"] == "system")
    parameters = {
        "temperature": decoding.temperature,
        "top_p": decoding.top_p,
        "top_k": decoding.top_k,
        "repeat_penalty": decoding.repetition_penalty,
        "num_predict": decoding.max_new_tokens,
    }
    lines = [
        f"FROM ./{file}",
        f'TEMPLATE """{_template(tokenizer, asked[-1]["content"])}"""',
        *([f'SYSTEM """{system}"""'] if system else []),
        f'PARAMETER stop "{tokenizer.eos_token}"',
        *(f"PARAMETER {name} {value:g}" for name, value in parameters.items()),
        f'LICENSE """{licence}"""',
    ]
    return "\n".join(lines) + "\n"


def _template(tokenizer: Any, user: str) -> str:
    """The base's chat template as a Go template, read off a conversation that it has written.

    Args:
        user: a turn of the person's, with `USER` where the words stand.
    """

    def written(*roles_and_words: tuple[str, str]) -> str:
        turns = [{"role": role, "content": words} for role, words in roles_and_words]
        rendered: str = tokenizer.apply_chat_template(
            turns, add_generation_prompt=True, enable_thinking=False, tokenize=False
        )
        return rendered

    whole = written(("system", SYSTEM), ("user", USER), ("assistant", ANSWER), ("user", AGAIN))
    before_system, rest = whole.split(SYSTEM)
    before_user, rest = rest.split(USER)
    after_user, rest = rest.split(ANSWER)
    after_answer, _ = rest.split(AGAIN)
    without_system = written(("user", USER)).split(USER)[0]
    before, after = user.split(USER)
    return (
        f"{{{{ if .System }}}}{before_system}{{{{ .System }}}}{before_user}"
        f"{{{{ else }}}}{without_system}{{{{ end }}}}"
        "{{ range .Messages }}"
        f'{{{{ if eq .Role "user" }}}}{before}{{{{ .Content }}}}{after}{after_user}'
        f'{{{{ else if eq .Role "assistant" }}}}{{{{ .Content }}}}{after_answer}{{{{ end }}}}'
        "{{ end }}"
    )
