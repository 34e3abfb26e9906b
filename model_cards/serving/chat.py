"""
`python -m model_cards chat`: a model continues Rust in the terminal, and rustc says what its answers are worth.

Our models are base models: there are no turns, each prompt is continued on its own. Code goes to standard output,
everything else to standard error; so `chat ... < prompt.rs > answer.rs` gives a file of Rust and nothing else.
"""

import signal
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count

from rich.console import Console
from rich.text import Text

from evaluation.rust import RustVerifier, Verdict
from evaluation.rust.rustc.compiler import ROOT
from model_cards.serving.text_engine import Answer, Decoding, Show, TextEngine, text_engine

# Control characters steer the terminal, format characters reorder or hide what is read.
STEERING = {"Cc", "Cf", "Cs", "Zl", "Zp"}
LISTED_ERRORS = 3


@dataclass(frozen=True)
class ChatSettings:
    """
    What is asked of the model.

    Attributes:
        decoding, seed, loops: How answers are drawn. Each sample has a seed of its own, counted up from `seed`.
        verify: Compile each answer, in the sandbox.
        best_of: Draw up to so many samples until one compiles; None draws one and shows it as it comes.
    """

    decoding: Decoding = field(default_factory=Decoding)
    seed: int = 0
    loops: int | None = None
    verify: bool = False
    best_of: int | None = None

    def __post_init__(self):
        if self.best_of is not None and self.best_of < 1:
            raise ValueError(f"best_of must be at least 1, got {self.best_of}")
        if self.best_of is not None and self.best_of > 1 and self.decoding.temperature == 0:
            raise ValueError(f"best_of must be 1 at temperature 0, all would be equal, got {self.best_of}")
        if not 0 <= self.seed < 2**31:
            raise ValueError(f"seed must be from 0 to {2**31 - 1}, got {self.seed}")


def visible(text: str) -> str:
    """The text as a terminal may have it: what would steer it is spelled out (`\\u{1b}`)."""
    return "".join(
        f"\\u{{{ord(character):x}}}"
        if character not in "\n\t" and unicodedata.category(character) in STEERING
        else character
        for character in text
    )


def chat(model: str, prompt: str | None, settings: ChatSettings) -> int:
    """
    Continue one prompt (an argument, or standard input), or those that are typed into a terminal.

    Args:
        model: A GGUF file, the folder of a saved model, or a Hub name.

    Returns:
        1 when one prompt's answer was verified and does not compile, else 0.

    Raises:
        ValueError, OSError: The model cannot be run, or the prompt cannot be continued.
        ToolchainUnavailable, SandboxUnavailable: Nothing can be verified here.
    """
    typed = prompt is None and sys.stdin.isatty()
    if not typed:
        prompt = _check_prompt(sys.stdin.buffer.read().decode(errors="surrogateescape") if prompt is None else prompt)
    with ExitStack() as stack:
        verifier = None
        if settings.verify or settings.best_of is not None:
            verifier = stack.enter_context(RustVerifier())
        notes = Console(stderr=True, highlight=False, soft_wrap=True)
        with notes.status(f"loading {visible(model)}"):
            engine = stack.enter_context(text_engine(model, settings.loops))
        conversation = Conversation(engine, settings, verifier, notes)
        if not typed:
            return 0 if conversation.answer(prompt) else 1
        # Also where it is ignored, as it is for a shell's background jobs and what they start.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        notes.print("Type Rust for the model to continue; an empty line sends it. Ctrl-C ends an answer, Ctrl-D chat.")
        for prompt in _typed_prompts():
            try:
                conversation.answer(prompt)
            except KeyboardInterrupt:
                notes.print("\nStopped.", style="yellow")
            except ValueError as error:
                notes.print(Text(visible(str(error))), style="red")
            notes.print()
    return 0


def _check_prompt(text: str) -> str:
    # A line break or space at the end would be a token of its own, where the model has learnt one with what follows.
    prompt = text.rstrip()
    if not prompt:
        raise ValueError("the prompt must hold some text to continue, got none")
    try:
        prompt.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"the prompt must be UTF-8, got something else at character {error.start}") from error
    return prompt


def _typed_prompts() -> Iterator[str]:
    """Prompts from the terminal, each up to an empty line, until the input ends."""
    # Gives `input` editing and history.
    import readline  # noqa: F401

    lines: list[str] = []
    while True:
        try:
            line = input("... " if lines else ">>> ")
        except EOFError:
            print()
            return
        if line.strip():
            lines.append(line)
        elif lines:
            yield _check_prompt("\n".join(lines))
            lines = []


class Conversation:
    """Answers prompts on standard output and says on standard error what the compiler thinks of them."""

    def __init__(self, engine: TextEngine, settings: ChatSettings, verifier: RustVerifier | None, notes: Console):
        self._engine = engine
        self._settings = settings
        self._verifier = verifier
        self._notes = notes
        self._seeds = count(settings.seed)

    def answer(self, prompt: str) -> bool:
        """Shows prompt and answer; whether the answer compiles, True as well when nobody asked."""
        if self._settings.best_of is not None:
            return self._best_of(prompt, self._settings.best_of)
        self._write_prompt(prompt)
        try:
            answer = self._draw(prompt, self._write)
        finally:
            self._write("\n")
        if self._verifier is None:
            return True
        verdict = self._verify(answer)
        if verdict.ok:
            self._notes.print(f"✓ compiles (rustc {verdict.rustc})", style="green")
        else:
            self._notes.print(f"✗ {verdict.status} (rustc {verdict.rustc})", style="red")
            self._explain(answer, verdict)
        return verdict.ok

    def _best_of(self, prompt: str, samples: int) -> bool:
        for number in range(1, samples + 1):
            with self._notes.status(f"sample {number} of {samples}"):
                answer = self._draw(prompt, lambda piece: None)
                verdict = self._verify(answer)
            if verdict.ok:
                break
            self._notes.print(Text(f"✗ sample {number}: {_headline(verdict)}", style="red"))
        self._write_prompt(prompt)
        self._write(answer.text + "\n")
        if verdict.ok:
            self._notes.print(f"✓ compiled after {_samples(number)} (rustc {verdict.rustc})", style="green")
        else:
            self._notes.print(
                f"✗ none of {_samples(samples)} compiled, this is the last one (rustc {verdict.rustc})", style="red"
            )
            self._explain(answer, verdict)
        return verdict.ok

    def _draw(self, prompt: str, show: Show) -> Answer:
        return self._engine.answer(prompt, self._settings.decoding, next(self._seeds) % 2**31, show)

    def _verify(self, answer: Answer) -> Verdict:
        (verdict,) = self._verifier.verify([answer.program], exact=True)
        return verdict

    def _explain(self, answer: Answer, verdict: Verdict) -> None:
        if not answer.finished:
            self._notes.print("The answer does not end its function.", style="red")
        for diagnostic in verdict.diagnostics[:LISTED_ERRORS]:
            message = diagnostic.rendered.rstrip().replace(f" {ROOT}:", " answer:") or diagnostic.message
            self._notes.print(Text(visible(message)))
        more = len(verdict.diagnostics) - LISTED_ERRORS
        if more > 0:
            self._notes.print(f"and {more} more")

    def _write_prompt(self, prompt: str) -> None:
        if sys.stdout.isatty():
            Console().out(visible(prompt), style="dim", end="", highlight=False)
        else:
            self._write(prompt)

    def _write(self, text: str) -> None:
        sys.stdout.write(visible(text) if sys.stdout.isatty() else text)
        sys.stdout.flush()


def _samples(number: int) -> str:
    return "1 sample" if number == 1 else f"{number} samples"


def _headline(verdict: Verdict) -> str:
    """The first error in one line, or the status of a verdict without one."""
    if not verdict.diagnostics:
        return verdict.status
    first = verdict.diagnostics[0]
    code = "" if first.code is None else f"[{first.code}]"
    return visible(f"error{code}: {first.message}").replace("\n", " ")
