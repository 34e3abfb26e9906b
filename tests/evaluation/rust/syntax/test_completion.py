"""A completion ends at its function's own brace, and never earlier: whatever was drawn so far is a prefix."""

import os
import time
from itertools import islice

import pytest
from transformers import AutoTokenizer
from tree_sitter import Parser

from evaluation.rust.syntax.analysis import RUST
from evaluation.rust.syntax.completion import completed_function
from tests.helpers.paths import BUILTIN, ROOT
from tests.helpers.stored import DATA, needs_data, rows
from trainers.data.synthetic.stream import choose_families, draw_samples
from trainers.data.synthetic.verified import task_of
from trainers.data.tokenizer import train_tokenizer

DOCS = ROOT / "docs"


# Families whose solutions have braces, or quotes, in their texts and characters.
TEXTUAL = ("parse_tuple", "balanced_brackets", "displayed")


def references(count, names=None):
    tasks = [task_of(sample) for sample in islice(draw_samples(choose_families(names), seed=0, tasks=True), count)]
    assert len(tasks) == count
    return [(task.prompt, task.solution) for task in tasks]


def function_of(prompt, solution):
    """The solution up to the end of the function that the prompt began, by the syntax tree of the whole program."""
    code, start = (prompt + solution).encode(), len(prompt.encode())
    root = Parser(RUST).parse(code).root_node
    function = next(node for node in root.named_children if node.type == "function_item" and node.end_byte > start)
    return code[start : function.child_by_field_name("body").end_byte].decode()


def check_prefixes(tokenizer, pairs):
    """Every prefix is finished exactly when it has the whole function, and is cut there. Returns their number."""
    total = 0
    for prompt, solution in pairs:
        whole = function_of(prompt, solution)
        tokens = tokenizer(solution, add_special_tokens=False)["input_ids"]
        for end in range(len(tokens) + 1):
            prefix = tokenizer.decode(tokens[:end])
            expected = whole if prefix.startswith(whole) else None
            assert completed_function(prompt, prefix) == expected, prompt + prefix
        assert prefix == solution
        total += len(tokens) + 1
    return total


@pytest.fixture(scope="module")
def tokenizers():
    """Of Rust and of prose: their tokens end at other places."""
    texts = ([path.read_text() for path in sorted(BUILTIN.glob("*.rs"))], [(DOCS / "data.md").read_text()])
    return [train_tokenizer(each, size, 256) for each, size in zip(texts, (800, 400), strict=True)]


def test_no_prefix_of_a_reference_solution_is_finished_before_its_function_is(tokenizers):
    pairs = references(51, TEXTUAL)
    assert all(check_prefixes(tokenizer, pairs) > 1000 for tokenizer in tokenizers)


@pytest.mark.slow
@needs_data
def test_no_prefix_of_any_reference_solution_is_finished_before_its_function_is(tokenizers):
    pairs = references(500) + [(row["prompt"], row["canonical_solution"]) for row in rows("humaneval_rust")]
    assert len(pairs) == 500 + 164
    own = AutoTokenizer.from_pretrained(os.path.join(DATA, "nano_h100"))
    for tokenizer in (own, tokenizers[1]):
        print("prefixes:", check_prefixes(tokenizer, pairs))


@pytest.mark.parametrize(
    "completion",
    [
        'text.ends_with("}',
        '"\\"}',
        '"a\n}',
        'r"}',
        'r#"}"',
        'r##"}"# }',
        'br#"}" }',
        'b"}',
        "'}",
        "b'}",
        "'\\'}",
        "'\\u{7d}",
        "// }",
        "/// }",
        "/* }",
        "/* /* } */ }",
        "/*/ }",
        '"\\\\\\"}',
    ],
)
def test_nothing_ends_inside_a_literal_or_comment_that_is_open(completion):
    assert completed_function("fn f() {\n", f"    {completion}") is None


@pytest.mark.parametrize(
    "body",
    [
        "r#type }",
        "let r#match = 1; }",
        'for"}" }',
        "'a: loop {} }",
        "f::<'_>('{', '\\'', '}') }",
        "let x: &'static str = \"'\"; }",
        'br##"}"#"## }',
        "'é' }",
        "/**/ }",
        "/*/ } */ }",
        '"\\\\" }',
        "b'\\\\' }",
        "1..2 }",
        "a / b }",
        "'\\u{7d}' }",
    ],
)
def test_what_only_looks_like_the_beginning_of_a_literal_hides_no_brace(body):
    assert completed_function("fn f() {", f" {body}\nfn g() {{}}") == f" {body}"


def test_a_prompt_may_end_inside_a_comment_or_a_literal():
    assert completed_function("fn f() { // {", " }\n}") == " }\n}"
    assert completed_function('fn f() { "', ' } " }x') == ' } " }'


@pytest.mark.slow
@pytest.mark.parametrize("unit", ["{", "}{", '"\\', "'", "'\\", "'a ", "/*", "r#", 'r"', 'br#"', "//\n", "é'", "r"])
def test_the_time_is_linear_in_the_text(unit):
    begun = time.process_time()
    completed_function("fn f() {", unit * (1_000_000 // len(unit)))
    assert time.process_time() - begun < 5
