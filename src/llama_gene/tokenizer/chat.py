"""What a chat model's own template puts around a prompt and its answer."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llama_gene.errors import TokenizerError
from llama_gene.files import hash_value, read_json

_CONTENT, _ANSWER = "\ue0feC\ue0fe", "\ue0feA\ue0fe"  # no template writes these, and none of them is white space
_SPECIAL = ("bos_token", "eos_token", "unk_token", "pad_token")


@dataclass(frozen=True, slots=True)
class ChatFrame:
    """The text around a user's turn, and what ends the answer.

    Attributes:
        before: From the start of the conversation to what the user says; a beginning of text is in it if the template
            writes one.
        after: From there to the answer.
        end: What ends the answer; empty where only the end of text does.
    """

    before: str
    after: str
    end: str

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the frame."""
        return hash_value([self.before, self.after, self.end])


def read_chat_frame(folder: Path) -> ChatFrame | None:
    """The frame that the chat template of a tokenizer's folder makes; None if it has no template.

    Raises:
        TokenizerError: The template fails, or does not write what it is given.
    """
    template = _template_of(folder)
    if template is None:
        return None
    user = {"role": "user", "content": _CONTENT}
    asked = _render(template, [user], folder, add_generation_prompt=True)
    answered = _render(template, [user, {"role": "assistant", "content": _ANSWER}], folder, add_generation_prompt=False)
    before, found, after = asked.partition(_CONTENT)
    _, answer_found, end = answered.partition(_ANSWER)
    if not (found and answer_found):
        hint = 'set finetune.chat = "never" to tune without it'
        raise TokenizerError("its chat template does not write what it is given", where=folder, hint=hint)
    return ChatFrame(before, after, end)


def _template_of(folder: Path) -> str | None:
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    found = _config(folder).get("chat_template")
    if isinstance(found, list):  # several by name
        found = next((one.get("template") for one in found if one.get("name") == "default"), None)
    return found if isinstance(found, str) else None


def _config(folder: Path) -> dict[str, Any]:
    file = folder / "tokenizer_config.json"
    config: dict[str, Any] = read_json(file) if file.is_file() else {}
    return config


def _render(template: str, conversation: list[dict[str, str]], folder: Path, *, add_generation_prompt: bool) -> str:
    # Theirs runs a template from a stranger in a sandbox, with the functions that templates count on.
    from transformers.utils.chat_template_utils import render_jinja_template

    config = _config(folder)
    special = {name: _content(config[name]) for name in _SPECIAL if config.get(name)}
    try:
        (text,), _ = render_jinja_template(
            [conversation], chat_template=template, add_generation_prompt=add_generation_prompt, **special
        )
    except Exception as error:  # noqa: BLE001 - a template is a program, and may fail in any way
        hint = 'set finetune.chat = "never" to tune without it'
        raise TokenizerError(f"its chat template fails: {error}", where=folder, hint=hint) from None
    return str(text)


def _content(token: Any) -> str:
    return str(token["content"]) if isinstance(token, dict) else str(token)
