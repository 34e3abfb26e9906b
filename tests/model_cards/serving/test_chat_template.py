"""Chat templates of `serve`: bad ones are refused before the model is loaded."""

import pytest

from model_cards.serving.chat_template import read_chat_template

MESSAGES = "{% for message in messages %}<{{ message.role }}>{{ message.content }}{% endfor %}"


@pytest.fixture
def template(tmp_path):
    path = tmp_path / "template.jinja"

    def read(content):
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_chat_template(path)

    return read


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{% for message in messages %}\n\n{{ message.content }", "template.jinja, line 3: unexpected '}'"),
        ("{% for message in messages %}{{ message.content }}", "template.jinja, line 1: Unexpected end of template"),
        ("{% include '/etc/passwd' %}", "fails: no loader for this environment specified"),
        ("{{ raise_exception('only one message') }}", "fails: only one message"),
        ("{{ messages | nothing }}", "line 1: No filter named 'nothing'"),
        ("{{ messages.nothing.content }}", "has no attribute 'nothing'"),
        ("{{ messages[0].content + 1 }}", "fails: can only concatenate str"),
        ("{{ ''.__class__.__mro__ }}", "fails: access to attribute '__class__' of 'str' object is unsafe"),
        ("{{ messages.append(1) }}", "has no attribute 'append'"),
        ("{% for i in range(10**9) %}{% endfor %}", "fails: Range too big"),
        ("", "leaves out the last one"),
        ("chatml", "leaves out the last one"),
        ("{{ messages[0].content }}", "leaves out the last one"),
        (b"\xff\xfe", "must be a text file in UTF-8"),
    ],
)
def test_a_template_that_renders_no_conversation_is_refused(template, content, message):
    with pytest.raises(ValueError, match="chat_template must") as refused:
        template(content)
    assert message in str(refused.value) and "template.jinja" in str(refused.value)


def test_the_tags_and_functions_of_transformers_are_known(template):
    loop = "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% if loop.last %}{% break %}"
    content = loop + "{% endif %}{% endfor %}{{ strftime_now('%Y') }}{{ bos_token }}{{ messages | tojson }}"
    assert template(content) == content and template(MESSAGES) == MESSAGES


def test_a_file_that_is_not_there_is_an_error_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_chat_template(tmp_path / "missing.jinja")
