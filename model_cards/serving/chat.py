"""
The command `chat`: a model continues Rust in the terminal, and rustc checks what it wrote.

The models are base models: there is no conversation, each prompt is continued on its own. Code goes to standard
output, everything else to standard error, so that `chat ... < prompt.rs > answer.rs` writes a file of Rust.
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
from evaluation.token_sampling import TokenSampling
from model_cards.serving.answer import Show, StreamedAnswer
from model_cards.serving.text_engine import TextEngine, text_engine

# Unicode categories of control characters, which command the terminal, and of characters that reorder or hide text.
UNSAFE_CATEGORIES = {"Cc", "Cf", "Cs", "Zl", "Zp"}
MAX_LISTED_ERRORS = 3


@dataclass(frozen=True)
class ChatSettings:
    """
    Settings of the command.

    Attributes:
        sampling: How each token is chosen.
        seed: Seed of the first sample; each further sample has the next number.
        num_loops: Number of loops; None: the model's own.
        verify: Compile each answer in the sandbox.
        best_of: Maximum number of samples that are generated until one compiles; None: one sample, shown while it is
            generated.
        engine: Program that runs a folder or a model on the Hub, "torch" or "native".
    """

    sampling: TokenSampling = field(default_factory=TokenSampling)
    seed: int = 0
    num_loops: int | None = None
    verify: bool = False
    best_of: int | None = None
    engine: str = "torch"

    def __post_init__(self):
        if self.best_of is not None and self.best_of < 1:
            raise ValueError(f"best_of must be at least 1, got {self.best_of}")
        if self.best_of is not None and self.best_of > 1 and self.sampling.temperature == 0:
            raise ValueError(f"best_of must be 1 at temperature 0, where all samples are equal, got {self.best_of}")
        if not 0 <= self.seed < 2**31:
            raise ValueError(f"seed must be from 0 to {2**31 - 1}, got {self.seed}")


def visible(text: str) -> str:
    """Escape what would command a terminal, or hide or reorder text in it, as in `\\u{1b}`."""
    return "".join(
        f"\\u{{{ord(character):x}}}"
        if character not in "\n\t" and unicodedata.category(character) in UNSAFE_CATEGORIES
        else character
        for character in text
    )


def chat(model: str, prompt: str | None, settings: ChatSettings) -> int:
    """
    Continue one prompt, or all prompts that are typed into a terminal.

    Args:
        model: GGUF file, folder of a saved model, or its name on the Hub.
        prompt: Text to continue; None: standard input or, in a terminal, prompts that are typed until it ends.
        settings: Sampling and verification.

    Returns:
        Exit status: 1 when the answer to the one prompt was verified and does not compile, else 0.

    Raises:
        ValueError, OSError: The model cannot be run, or the prompt cannot be continued.
        ToolchainUnavailable, SandboxUnavailable: Programs cannot be compiled on this machine.
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
            engine = stack.enter_context(text_engine(model, settings.num_loops, settings.engine))
        conversation = Conversation(engine, settings, verifier, notes)
        if not typed:
            return 0 if conversation.answer(prompt) else 1
        # Background jobs of a shell, and what they start, ignore SIGINT by default.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        notes.print(
            "Type Rust for the model to continue; an empty line sends it. Ctrl-C stops an answer, Ctrl-D quits."
        )
        try:
            for prompt in _typed_prompts():
                _answer_typed(conversation, prompt, notes)
        finally:
            # A further Ctrl-C must not kill the program while it ends.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
    return 0


def _answer_typed(conversation: "Conversation", prompt: str, notes: Console) -> None:
    """Answer one of many prompts: Ctrl-C and errors end the answer only."""
    try:
        conversation.answer(prompt)
    except KeyboardInterrupt:
        notes.print("\nStopped.", style="yellow")
    except ValueError as error:
        notes.print(Text(visible(str(error))), style="red")
    notes.print()


def _check_prompt(text: str) -> str:
    # White space at the end would be a token of its own. In the training text it is one token with what follows.
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
    """Answer prompts on standard output, and report the verdicts of the compiler on standard error."""

    def __init__(self, engine: TextEngine, settings: ChatSettings, verifier: RustVerifier | None, notes: Console):
        self._engine = engine
        self._settings = settings
        self._verifier = verifier
        self._notes = notes
        self._seeds = count(settings.seed)

    def answer(self, prompt: str) -> bool:
        """Print prompt and answer; returns whether the answer compiles, or True when it is not verified."""
        if self._settings.best_of is not None:
            return self._best_of(prompt, self._settings.best_of)
        self._write_prompt(prompt)
        try:
            answer = self._generate(prompt, self._write)
        finally:
            self._write("\n")
        if self._verifier is None:
            return True
        verdict = self._verify(answer)
        if verdict.ok:
            self._notes.print(f"✓ compiles (rustc {verdict.rustc})", style="green")
        else:
            self._notes.print(f"✗ {verdict.status} (rustc {verdict.rustc})", style="red")
            self._print_errors(answer, verdict)
        return verdict.ok

    def _best_of(self, prompt: str, samples: int) -> bool:
        for number in range(1, samples + 1):
            with self._notes.status(f"sample {number} of {samples}"):
                answer = self._generate(prompt, lambda piece: None)
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
            self._print_errors(answer, verdict)
        return verdict.ok

    def _generate(self, prompt: str, show: Show) -> StreamedAnswer:
        return self._engine.answer(prompt, self._settings.sampling, next(self._seeds) % 2**31, show)

    def _verify(self, answer: StreamedAnswer) -> Verdict:
        (verdict,) = self._verifier.verify([answer.program], exact=True)
        return verdict

    def _print_errors(self, answer: StreamedAnswer, verdict: Verdict) -> None:
        if not answer.finished:
            self._notes.print("The function is not complete.", style="red")
        for diagnostic in verdict.diagnostics[:MAX_LISTED_ERRORS]:
            message = diagnostic.rendered.rstrip().replace(f" {ROOT}:", " answer:") or diagnostic.message
            self._notes.print(Text(visible(message)))
        more = len(verdict.diagnostics) - MAX_LISTED_ERRORS
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
