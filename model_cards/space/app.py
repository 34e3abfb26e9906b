"""A page on which a model continues Rust, and rustc's messages stand at the lines that they are about."""

import html
import os
import sys
from functools import cache
from typing import Any, cast

import gradio as gr  # ty: ignore[import-not-found]  # the extra `space`
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase, set_seed

from evaluation.generate import FunctionEnd, positions
from evaluation.loading import load_model
from evaluation.rust import RustVerifier
from evaluation.rust.sandbox.runner import LEVELS
from evaluation.rust.syntax.completion import completed_function
from evaluation.rust.verdict import Verdict
from modeling_nanochat import is_looplm

MODEL = os.environ.get("MODEL", "")
EXAMPLES = [
    "/// Returns the larger of two numbers.\nfn larger(a: i32, b: i32) -> i32 {",
    "fn factorial(n: u64) -> u64 {",
    "fn longest_word(text: &str) -> Option<&str> {",
]
STYLE = """
.program { font-family: ui-monospace, monospace; font-size: 14px; line-height: 1.5; overflow-x: auto; }
.program .line { white-space: pre; padding: 0 8px; }
.program .number { display: inline-block; width: 3em; opacity: 0.5; user-select: none; }
.program .written { background: color-mix(in srgb, #3b82f6 12%, transparent); }
.program .wrong { border-left: 3px solid #dc2626; }
.program .message { white-space: pre-wrap; padding: 2px 8px 2px 3.5em; color: #dc2626; font-size: 13px; }
.compiler { padding: 8px; opacity: 0.6; font-size: 12px; }
.verdict { font-weight: 600; padding: 6px 8px; }
.verdict.valid { color: #15803d; }
.verdict.failed { color: #dc2626; }
"""


@cache
def loaded() -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load the model once."""
    return load_model(MODEL)


@cache
def verifier() -> RustVerifier:
    """Start the compiler once."""
    return RustVerifier()


def complete(prompt: str, loops: int, temperature: float, max_new_tokens: int, seed: int) -> str:
    """Continue a prompt up to the end of its function, with every token leaving after this loop."""
    loaded_model, tokenizer = loaded()
    model = cast(Any, loaded_model)
    # A line break at the end would be a token of its own.
    prompt = prompt.rstrip()
    inputs = tokenizer(prompt, return_tensors="pt", return_token_type_ids=False).to(model.device)
    length = inputs["input_ids"].shape[1]
    room = (positions(model) or length + max_new_tokens) - length
    if room < 1:
        raise gr.Error(f"The prompt has {length} tokens, which fill the model's context.")
    set_seed(int(seed))
    settings: dict[str, Any] = {"do_sample": temperature > 0}
    if temperature > 0:
        settings |= {"temperature": temperature, "top_p": 0.95}
    if is_looplm(model.config):
        settings |= {"num_loops": int(loops), "exit_at_loop": int(loops)}
    with torch.inference_mode():
        tokens = model.generate(
            **inputs,
            **settings,
            max_new_tokens=min(int(max_new_tokens), room),
            pad_token_id=tokenizer.pad_token_id,
            stopping_criteria=[FunctionEnd(completed_function, tokenizer, [prompt], length, "}")],
        )
    text = cast(str, tokenizer.decode(tokens[0][length:], skip_special_tokens=True))
    completed = completed_function(prompt, text)
    return prompt + (text if completed is None else completed)


def answer(prompt: str, loops: int, temperature: float, max_new_tokens: int, seed: int) -> str:
    """Return the page's part with the program and the verdict on it."""
    if not prompt.strip():
        raise gr.Error("Give the beginning of a function.")
    program = complete(prompt, loops, temperature, max_new_tokens, seed)
    (verdict,) = verifier().verify([program])
    return as_html(program, len(prompt.rstrip()), verdict)


def as_html(program: str, given: int, verdict: Verdict) -> str:
    """Return a program with its verdict as HTML, and rustc's messages below their lines."""
    messages: dict[int | None, list[str]] = {}
    for each in verdict.diagnostics:
        messages.setdefault(each.line, []).append(": ".join(filter(None, (each.code, each.message))))
    rows, place = [], 0
    for number, line in enumerate(program.split("\n"), start=1):
        before = max(0, min(len(line), given - place))
        wrong = " wrong" if number in messages else ""
        written = f'<span class="written">{html.escape(line[before:])}</span>' if line[before:] else ""
        text = f'<span class="number">{number}</span>{html.escape(line[:before])}{written}'
        rows.append(f'<div class="line{wrong}">{text}</div>')
        rows += [f'<div class="message">{html.escape(message)}</div>' for message in messages.get(number, [])]
        place += len(line) + 1
    last = program.count("\n") + 1
    for line, texts in messages.items():
        if line is None or not 1 <= line <= last:
            rows += [f'<div class="message">{html.escape(message)}</div>' for message in texts]
    kind = "valid" if verdict.status == "valid" else "failed"
    words = "It compiles." if kind == "valid" else f"It does not compile: {verdict.status.replace('_', ' ')}."
    level = f"rustc {verdict.rustc}; protection of the sandbox: {LEVELS[verdict.sandbox_level]}"
    rows.append(f'<div class="compiler">{html.escape(level)}</div>')
    return f'<div class="program"><div class="verdict {kind}">{words}</div>{"".join(rows)}</div>'


def page() -> gr.Blocks:
    """Build the page."""
    model, _ = loaded()
    most = model.config.num_loops if is_looplm(model.config) else 1
    with gr.Blocks(title="Rust that compiles") as blocks:
        gr.Markdown(
            f"# Rust that compiles\n**{html.escape(os.path.basename(MODEL))}** continues the beginning of a function; "
            "what it writes is shaded. rustc compiles the program in a sandbox; nothing is run. It is a base model: "
            "it continues code and answers no questions."
        )
        with gr.Row():
            with gr.Column():
                prompt = gr.Code(EXAMPLES[0], language=None, label="Beginning of a function", lines=6)
                loops = gr.Slider(1, most, most, step=1, label="Loops", info="depth at which every token leaves")
                temperature = gr.Slider(0, 1.5, 0, step=0.1, label="Temperature", info="0 is greedy decoding")
                tokens = gr.Slider(16, 256, 96, step=16, label="Maximum number of new tokens")
                seed = gr.Number(0, precision=0, label="Seed")
                button = gr.Button("Complete and compile", variant="primary")
                gr.Examples([[text] for text in EXAMPLES], [prompt], label="Examples")
            with gr.Column():
                shown = gr.HTML(label="Program and verdict")
        button.click(answer, [prompt, loops, temperature, tokens, seed], shown, api_name="complete")
    return blocks


if __name__ == "__main__":
    if not MODEL:
        sys.exit("MODEL must name the folder of a saved model or a model on the Hub, as in MODEL=you/small-rust")
    page().launch(css=STYLE)
