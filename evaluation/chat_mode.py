"""Prompts for instruction-tuned models: an instruction with the problem, in a chat template."""

import hashlib
from dataclasses import dataclass, replace
from typing import Any

from jinja2 import TemplateError
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from evaluation.models.served_model import ServedModel

PLACE = "{prompt}"
INSTRUCTION = f"""Write this Rust function so that it does what its description says.

```rust
{PLACE}
```

Answer with the whole function and all that it needs, in one block of Rust."""

NO_TEMPLATE = "the model must have a chat template for --chat, and has none: "


@dataclass(frozen=True)
class ChatMode:
    """
    Instruction and template that turn a problem into a conversation of one message.

    Attributes:
        instruction: The user's message; `{prompt}` stands for the problem's text, which ends with the open function.
        template: Chat template in Jinja; None uses the tokenizer's.

    Raises:
        ValueError: The instruction does not contain `{prompt}` exactly once.
    """

    instruction: str = INSTRUCTION
    template: str | None = None

    def __post_init__(self):
        if self.instruction.count(PLACE) != 1:
            raise ValueError(
                f"the instruction must have {PLACE} once, where the problem goes, got {self.instruction!r}"
            )

    def asking_by_default(self, instruction: str) -> "ChatMode":
        """Return a mode that asks by this instruction unless the user gave another one than the default."""
        return replace(self, instruction=instruction) if self.instruction == INSTRUCTION else self

    def question(self, problem: str) -> str:
        """Return the user's message: the instruction with the problem's text."""
        return self.instruction.replace(PLACE, problem.strip("\n"))

    def asked(
        self, model: PreTrainedModel | ServedModel, tokenizer: PreTrainedTokenizerBase | None, problem: str
    ) -> str:
        """
        Return what a model is asked: the rendered text, or the question to a served model, which has its own template.

        Raises:
            ValueError: There is no template, it cannot be rendered, or one is given for a served model.
        """
        if not isinstance(model, ServedModel):
            assert tokenizer is not None, "a model in memory has a tokenizer"
            return self.render(tokenizer, problem)
        if self.template is not None:
            raise ValueError(
                f"--chat-template needs the folder of a saved model or a Hub name, got the model {model.name}, which "
                "is asked in its own template: leave the option out"
            )
        if model.chat_template == "":
            raise ValueError(NO_TEMPLATE + "leave out --chat for a base model")
        return self.question(problem)

    def messages(self, problem: str) -> list[dict[str, str]]:
        """Return the conversation that the model is to continue."""
        return [{"role": "user", "content": self.question(problem)}]

    def render(self, tokenizer: PreTrainedTokenizerBase, problem: str) -> str:
        """
        Return the text that the model continues with its answer; it includes the special tokens.

        Raises:
            ValueError: There is no template, or it cannot be rendered.
        """
        template = self._template(tokenizer)
        try:
            return tokenizer.apply_chat_template(
                self.messages(problem), chat_template=template, add_generation_prompt=True, tokenize=False
            )
        except TemplateError as error:
            raise ValueError(f"the chat template cannot be rendered for one user message: {error}") from error

    def record(
        self, model: PreTrainedModel | ServedModel, tokenizer: PreTrainedTokenizerBase | None
    ) -> dict[str, Any]:
        """
        Return the settings that results record: the instruction and the SHA-256 of the template, None where a server
        does not tell its template.
        """
        if isinstance(model, ServedModel):
            template = model.chat_template
        else:
            assert tokenizer is not None, "a model in memory has a tokenizer"
            template = self._template(tokenizer)
        digest = None if template is None else hashlib.sha256(template.encode()).hexdigest()
        return {"instruction": self.instruction, "chat_template_sha256": digest}

    def _template(self, tokenizer: PreTrainedTokenizerBase) -> str:
        if self.template is None and not tokenizer.chat_template:
            raise ValueError(f"{NO_TEMPLATE}give one with --chat-template FILE, or leave out --chat for a base model")
        return tokenizer.get_chat_template(self.template)


def begun_answer(rendered: str) -> str:
    """Return the part of the answer that the template has already written: the tag that opens a thought, or ""."""
    return "<think>" if rendered.rstrip().endswith("<think>") else ""
