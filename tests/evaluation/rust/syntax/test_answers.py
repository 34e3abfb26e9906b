"""Where the Rust is in a chat model's answer: one table of the forms that models write."""

import subprocess
import sys

import pytest

from evaluation.rust.syntax import answers
from evaluation.rust.syntax.answers import extract_rust

CODE = "fn one() -> u32 {\n    1\n}\n"
OTHER = "fn two() -> u32 {\n    2\n}\n"
BLOCK = f"```rust\n{CODE}```"
LISTED = CODE.replace("\n", "\n   ").rstrip(" ")
DEEP = "".join(f"    {line}\n" for line in CODE.splitlines())
QUOTED = "".join(f"> {line}\n" for line in CODE.splitlines())
DOCUMENTED = f"/// ```\n/// assert_eq!(one(), 1);\n/// ```\n{CODE}"


def said(content, **more):
    return [{"role": "assistant", "content": content, **more}]


def part(text):
    return {"type": "text", "text": text}


# Name: the answer, and the program in it; None where it is not finished or has none.
FORMS = {
    "a block": (f"Here:\n\n{BLOCK}\n\nIt returns one.", CODE),
    "at the end of the answer": (BLOCK, CODE),
    "no label": (f"```\n{CODE}```", CODE),
    "label rs": (f"```rs\n{CODE}```", CODE),
    "label Rust": (f"```Rust\n{CODE}```", CODE),
    "label RUST": (f"```RUST\n{CODE}```", CODE),
    "a space before the label": (f"``` rust\n{CODE}```", CODE),
    "spaces behind the label": (f"```rust  \t\n{CODE}```", CODE),
    "label rust,ignore": (f"```rust,ignore\n{CODE}```", CODE),
    "label rust, no_run": (f"```rust, no_run\n{CODE}```", CODE),
    "label with a title": (f'```rust title="x"\n{CODE}```', CODE),
    "label with an attribute": (f"```rust {{.numbered}}\n{CODE}```", CODE),
    "label in braces": (f"```{{.rust .numbered}}\n{CODE}```", CODE),
    "label with a path": (f"```rust:src/lib.rs\n{CODE}```", CODE),
    "label rust2021": (f"```rust2021\n{CODE}```", CODE),
    "label rust2018,edition": (f"```rust2018,edition2018\n{CODE}```", CODE),
    "a label that only begins so": (f"```rustc\n{CODE}```", None),
    "another language alone": (f"```python\n{CODE}```", None),
    "tildes": (f"~~~rust\n{CODE}~~~", CODE),
    "tildes without a label": (f"~~~\n{CODE}~~~", CODE),
    "tildes around backticks": (f"~~~rust\n{DOCUMENTED}```\n~~~", DOCUMENTED + "```\n"),
    "four backticks": (f"````rust\n{CODE}````", CODE),
    "four backticks around three": (f"````rust\n/*\n```\n*/\n{CODE}````", f"/*\n```\n*/\n{CODE}"),
    "a closing fence that is longer": (f"```rust\n{CODE}`````", CODE),
    "a closing fence that is shorter": (f"````rust\n{CODE}```", None),
    "a closing fence of the other kind": (f"```rust\n{CODE}~~~", None),
    "spaces behind the closing fence": (f"```rust\n{CODE}```   \nDone.", CODE),
    "CRLF": (f"Here:\n\n{BLOCK}\n".replace("\n", "\r\n"), CODE),
    "CRLF, cut": (f"```rust\n{CODE}".replace("\n", "\r\n"), None),
    "CR alone": (BLOCK.replace("\n", "\r"), CODE),
    "in a list": (f"1. So:\n\n   ```rust\n   {LISTED}   ```\n2. Done.", CODE),
    "in a bulleted list, tabs": ("- So:\n\t```rust\n\tfn a() {\n\t\tb()\n\t}\n\t```\n", "fn a() {\n\tb()\n}\n"),
    "in a list in a list": (f"- a\n  - b\n    ```rust\n{DEEP}    ```", CODE),
    "in a list, cut": (f"1. So:\n\n   ```rust\n   {LISTED}", None),
    "in a list that ends before its block": (f"1. So:\n   ```rust\n   {LISTED}\nThe end.", None),
    "indented by three": (f"   ```rust\n   {LISTED}   ```", CODE),
    "in a quotation": (f"> ```rust\n{QUOTED}> ```", CODE),
    "closed behind the code": (f"```rust\n{CODE.rstrip()}```", CODE),
    "closed behind the code, then text": (f"```rust\n{CODE.rstrip()}```\nDone.\n```bash\ncargo run\n```", CODE),
    "closed behind a semicolon": ("```rust\nconst A: u8 = 1; ```\nDone.", "const A: u8 = 1;\n"),
    "closed behind the code in a list": (f"1. So:\n   ```rust\n   {LISTED.rstrip()}```\n\nDone.", CODE),
    "closed behind the code in a quotation": (f"> ```rust\n{QUOTED.rstrip()}```\n> Done.", CODE),
    "closed behind the code, four": (f"````rust\n{CODE.rstrip()}````", CODE),
    "closed behind the code, twice": (f"```rust\n{OTHER.rstrip()}```\nor\n```rust\n{CODE.rstrip()}```\n", CODE),
    "fences in comments": (f"```rust\n{DOCUMENTED}```", DOCUMENTED),
    "a fence behind a comment": (f"```rust\n// {{}}```\n{CODE}```", f"// {{}}```\n{CODE}"),
    "prose between two other blocks": ("```bash\ncargo new a\n```\nfn is a keyword\n```toml\na = 1\n```", None),
    "after a block of bash": (f"```bash\ncargo new a\n```\nThen:\n{BLOCK}", CODE),
    "before a block of toml": (f"{BLOCK}\nand\n```toml\n[package]\n```", CODE),
    "no label between others": (f"```bash\ncargo new a\n```\n```\n{CODE}```\n```toml\na = 1\n```", CODE),
    "the last of two": (f"```rust\n{OTHER}```\nBetter:\n{BLOCK}", CODE),
    "the last of two without labels": (f"```\n{OTHER}```\nBetter:\n```\n{CODE}```", CODE),
    "Rust before output without a label": (f"{BLOCK}\nprints\n```\n1\n```", CODE),
    "Rust before output as text": (f"{BLOCK}\nprints\n```text\n1\n```", CODE),
    "cut": (f"```rust\n{CODE}", None),
    "cut in its closing fence": (f"```rust\n{CODE}``", None),
    "cut in a line": ("```rust\nfn one() -> u32 {\n    1", None),
    "cut after the label": ("Here:\n```rust", None),
    "the last is cut": (f"{BLOCK}\nBetter:\n```rust\n{OTHER}", None),
    "the last is cut, no labels": (f"```\n{CODE}```\nBetter:\n```\n{OTHER}", None),
    "another block is cut": (f"{BLOCK}\nRun:\n```bash\ncargo ru", CODE),
    "a block that is empty": ("```rust\n```", ""),
    "no block": (CODE, CODE),
    "no block, fences in comments": (DOCUMENTED, DOCUMENTED),
    "nothing": ("", None),
    "white space": (" \n\n", None),
    "below a tag": (f"<answer>\n{BLOCK}\n</answer>", CODE),
    "in details": (f"<details>\n<summary>Code</summary>\n{BLOCK}\n</details>", CODE),
    "a thought before": (f"<think>\nTwo?\n```rust\n{OTHER}```\n</think>\n\n{BLOCK}", CODE),
    "a thought in one line": (f"<think>Easy.</think>{CODE}", CODE),
    "a thought that is cut": (f"<think>\nSo:\n{BLOCK}\nNo,", None),
    "a thought that the template began": (f"Two?\n```rust\n{OTHER}\n</think>\n{BLOCK}", CODE),
    "a thought alone": (f"<think>\n{BLOCK}\n</think>\n", None),
    "a thought with a block that is cut": (f"<think>\n```rust\n{OTHER}\n</think>\n{BLOCK}", CODE),
    "a thought after code, cut": (f"{BLOCK}\n<think>\nOr\n```rust\n{OTHER}```\n", None),
    "two thoughts": (f"<think>a</think>\n```rust\n{OTHER}```\n<think>b</think>\n{BLOCK}", CODE),
    "a tag in code": ('```rust\nconst T: &str = "<think>";\n```', 'const T: &str = "<think>";\n'),
    "a tag that is spoken of": (f"Without `<think>`:\n{BLOCK}", CODE),
    "a message": (said(f"Here:\n{BLOCK}"), CODE),
    "the last of two messages": ([*said(f"```rust\n{OTHER}```"), *said(BLOCK)], CODE),
    "a message in parts": (said([part("```rust\n"), part(f"{CODE}```")]), CODE),
    "a part that is an image": (said([part(BLOCK), {"type": "image", "url": "a.png"}]), None),
    "a part without text": (said([{"type": "text"}]), None),
    "no parts": (said([]), None),
    "no content": (said(None), None),
    "no content at all": ([{"role": "assistant"}], None),
    "a call of a tool": (said(None, tool_calls=[{"function": {"name": "run", "arguments": {}}}]), None),
    "a call of a tool with text": (said(BLOCK, tool_calls=[{"function": {"name": "run", "arguments": {}}}]), None),
    "what a tool says": ([*said(BLOCK), {"role": "tool", "content": "1"}], None),
    "no messages": ([], None),
    "no answer": (None, None),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_program_of_an_answer(form):
    answer, program = FORMS[form]
    assert extract_rust(answer) == program


@pytest.mark.parametrize("form", [name for name, (answer, _) in FORMS.items() if isinstance(answer, str)])
def test_an_answer_in_windows_lines_has_the_same_program(form):
    answer, program = FORMS[form]
    if "\r" not in answer:
        assert extract_rust(answer.replace("\n", "\r\n")) == program


def test_many_tags_and_many_fences_take_no_longer_than_a_moment():
    assert extract_rust("<think></think>" * 2000 + BLOCK) == CODE
    assert extract_rust("> " * 5000 + "```rust\n" * 200) is None


def test_it_needs_no_learning_library():
    script = "import sys, evaluation.rust.syntax.answers; print({'torch', 'transformers'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout == "set()\n"


@pytest.mark.parametrize("piece", ["}```\n", "```\n", "> ", "- ", "<think>", "</think>\n", "`", "~~~ a\n", "* "])
def test_no_answer_is_read_more_than_a_few_times(piece, monkeypatch):
    readings = []
    parse = answers._MARKDOWN.parse
    monkeypatch.setattr(answers._MARKDOWN, "parse", lambda text: readings.append(text) or parse(text))
    extract_rust("```rust\n" + piece * (20_000 // len(piece)))
    assert len(readings) <= 3 * answers.MOST_REPAIRS
