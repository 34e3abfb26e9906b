"""The page of the Space shows what a model wrote, and never runs it: not as Rust, and not as HTML."""

import importlib.util
from importlib.resources import files

import pytest

pytest.importorskip("gradio", reason="the extra space is not installed")


@pytest.fixture(scope="module")
def app():
    spec = importlib.util.spec_from_file_location("space_app", str(files("model_cards") / "space" / "app.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    module.verifier().close()


def verdict_on(app, program):
    (verdict,) = app.verifier().verify([program])
    return verdict


def test_a_message_of_the_compiler_stands_below_its_line(app):
    program = "fn one() -> u32 {\n    true\n}"
    page = app.as_html(program, len("fn one() -> u32 {"), verdict_on(app, program))
    assert page.index("true</span>") < page.index('class="message">E0308: mismatched types') < page.rindex("}</span>")
    assert "It does not compile: semantic error." in page and page.count('class="line wrong"') == 1


def test_written_text_is_shaded_and_the_prompt_is_not(app):
    program = "fn one() -> u32 { 1 }"
    page = app.as_html(program, len("fn one() -> u32 {"), verdict_on(app, program))
    assert 'fn one() -&gt; u32 {<span class="written"> 1 }</span>' in page and "It compiles." in page


def test_html_in_a_program_is_text(app):
    program = 'fn f() -> &\'static str { "<script>alert(1)</script>" }'
    assert "<script>" not in app.as_html(program, 3, verdict_on(app, program))
