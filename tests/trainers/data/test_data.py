"""From Rust text to blocks: nothing is lost, repeated or silently skipped."""

import os
import shutil
import subprocess
from collections import Counter
from importlib.resources import files
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.rust import ToolchainUnavailable, Verdict
from evaluation.rust.sandbox.runner import SandboxFailure
from evaluation.rust.verdict import NOT_REACHED
from tests.helpers.tiny import tiny_model
from trainers.data import sources, verify
from trainers.data.mix import MAX_REPEATS, check_shares, mix_documents
from trainers.data.pack import pack_blocks
from trainers.data.sources import Document, FolderSource, default, read_builtin, unique_documents
from trainers.data.tokenizer import check_special_tokens, special_token_ids, train_tokenizer
from trainers.data.verify import as_program, decided, verify_sample

TEXTS = ["fn main() {\n    let total: u32 = (1..=10).sum();\n}\n", "struct Point { x: f64, y: f64 }\n"]


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(TEXTS, vocab_size=300, max_length=64)


@settings(max_examples=200)
@given(text=st.text())
def test_any_text_survives_encoding_and_decoding(tokenizer, text):
    text += tokenizer.eos_token + text
    blocks = pack_blocks([text, text], tokenizer, 2)["input_ids"]
    token_ids = sum(blocks, [])[1:]
    assert tokenizer.decode(token_ids[: token_ids.index(tokenizer.eos_token_id)]) == text


def test_special_tokens_have_one_truth(tokenizer):
    assert special_token_ids(tokenizer) == {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    assert tokenizer("fn")["input_ids"][0] == tokenizer.bos_token_id
    model = tiny_model(vocab_size=300)
    check_special_tokens(tokenizer, model)
    model.generation_config.eos_token_id = 0
    with pytest.raises(ValueError, match="eos_token_id must agree everywhere, got 2 in the tokenizer"):
        check_special_tokens(tokenizer, model)
    with pytest.raises(ValueError, match="vocab_size must be at least the tokenizer's"):
        check_special_tokens(tokenizer, tiny_model(vocab_size=256))


def test_a_vocabulary_too_small_for_the_bytes_is_refused():
    with pytest.raises(ValueError, match="vocab_size must be at least 259 .* got 258"):
        train_tokenizer(TEXTS, vocab_size=258, max_length=64)
    with pytest.raises(ValueError, match="texts must hold some text"):
        train_tokenizer(["", ""], vocab_size=300, max_length=64)


@settings(max_examples=50)
@given(
    texts=st.lists(st.text(alphabet="fnlet x=;(){}", max_size=60), min_size=3, max_size=8), seq_len=st.integers(2, 9)
)
def test_packing_keeps_every_token_in_order_with_document_ends(tokenizer, texts, seq_len):
    stream = []
    for text in texts:
        stream += [tokenizer.bos_token_id, *tokenizer(text, add_special_tokens=False)["input_ids"]]
        stream.append(tokenizer.eos_token_id)
    blocks = pack_blocks(texts, tokenizer, seq_len)["input_ids"] if len(stream) >= seq_len else []
    assert sum(blocks, []) == stream[: len(stream) // seq_len * seq_len]
    assert all(len(block) == seq_len for block in blocks)


@pytest.mark.parametrize("texts", [[], ["fn"]])
def test_too_little_text_for_one_block_is_refused(tokenizer, texts):
    with pytest.raises(ValueError, match="must fill at least one block of seq_len=64 tokens, got"):
        pack_blocks(texts, tokenizer, 64)


def test_rows_that_differ_in_white_space_only_are_one():
    rows = [
        Document.of("a", str(i), "file", "MIT", code)
        for i, code in enumerate(["fn a() {}", "fn  a()\n{}", "fn b() {}"])
    ]
    assert [row.path for row in unique_documents(rows)] == ["0", "2"]


def test_a_folder_is_read_recursively_and_unreadable_files_are_named(tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "lib.rs").write_text("pub fn f() {}\n")
    (tmp_path / "empty.rs").write_text(" \n")
    (tmp_path / "notes.txt").write_text("not Rust")
    (tmp_path / "folder.rs").mkdir()
    os.mkfifo(tmp_path / "pipe.rs")
    (tmp_path / "binary.rs").write_bytes(b"\xff\xfe\x00")
    source = FolderSource(tmp_path)
    assert [row.path for row in source.read()] == ["src/lib.rs"]
    assert source.left_out == {"that cannot be read as UTF-8": 1, "that are empty": 1}
    with pytest.raises(ValueError, match="folder must be a folder, got .*missing, which does not exist"):
        FolderSource(tmp_path / "missing").check()
    (tmp_path / "src" / "lib.rs").unlink()
    with pytest.raises(ValueError, match=r"folder must hold .rs files .*left out: 1 that cannot be read as UTF-8"):
        source.check()


def test_without_documentation_the_built_in_set_is_used_and_what_to_install_is_named(monkeypatch, capsys):
    monkeypatch.setattr(default, "toolchain_docs", lambda: None)
    rows = [row for source in default.default_sources() for row in source.read()]
    assert rows == list(read_builtin()) and len(rows) >= 10
    assert "rustup component add rust-docs" in capsys.readouterr().out


def test_the_toolchain_without_rustc_has_no_documentation(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert sources.toolchain_docs() is None


BOOK_PAGE = """<html><pre><code class="language-rust editable">fn main() {
<span class="boring">    let hidden = 1;
</span>    println!(&quot;{} &amp; {}&quot;, 1 &lt; 2, hidden);
}</code></pre><code class="language-shell">cargo run</code></html>"""
SOURCE_PAGE = """<pre class="rust"><code><a href=#1 id=1 data-nosnippet>1</a><span class="kw">pub fn </span>f() {}
<a href=#2 id=2 data-nosnippet>2</a>
<a href=#3 id=3 data-nosnippet>3</a><span class="comment">// &#39;a &lt;3</span>
</code></pre>"""


def test_documentation_pages_become_the_code_they_show(tmp_path):
    pages = {
        "rust-by-example/hello.html": BOOK_PAGE,
        "rust-by-example/ja/hello.html": BOOK_PAGE,
        "src/core/lib.rs.html": SOURCE_PAGE,
        "src/core/stdarch/generated.rs.html": SOURCE_PAGE,
    }
    for name, text in pages.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    book, source = list(sources.read_rust_by_example(tmp_path)), list(sources.read_std_sources(tmp_path))
    assert [(row.path, row.code) for row in book] == [
        ("hello.html", 'fn main() {\n    let hidden = 1;\n    println!("{} & {}", 1 < 2, hidden);\n}\n')
    ]
    assert [(row.path, row.code) for row in source] == [("core/lib.rs", "pub fn f() {}\n\n// 'a <3\n")]


@pytest.mark.skipif(sources.toolchain_docs() is None, reason="rust-docs is not installed")
def test_the_installed_documentation_is_read():
    docs = sources.toolchain_docs()
    rows = list(sources.read_rust_by_example(docs))
    assert len(rows) > 150
    assert any("println!" in row.code and "fn main()" in row.code for row in rows)
    assert not any("&lt;" in row.code or "<span" in row.code for row in rows)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("rustc") is None, reason="rustc is not installed")
@pytest.mark.parametrize(
    "name", sorted(entry.name for entry in files("trainers.data").joinpath("builtin_rust").iterdir())
)
def test_the_built_in_files_compile_and_pass_their_tests(name, tmp_path):
    source = files("trainers.data").joinpath("builtin_rust", name)
    program = tmp_path / "program"
    subprocess.run(["rustc", "--edition", "2021", "--test", "-o", program, source], check=True)
    subprocess.run([program], check=True, capture_output=True)


@pytest.mark.parametrize(
    "code, program",
    [
        ("let x = 1;\n", "fn main() {\nlet x = 1;\n\n}\n"),
        ("#![allow(unused)]\n// why\nlet x = 1;", "#![allow(unused)]\n// why\nfn main() {\nlet x = 1;\n}\n"),
        ("fn main() {}\n", "fn main() {}\n"),
        ("pub fn main () {}", "pub fn main () {}"),
    ],
)
def test_an_example_becomes_a_program_as_rustdoc_makes_it_one(code, program):
    assert as_program(Document.of("docs", "page", "example", "MIT", code)) == program
    assert as_program(Document.of("docs", "page", "file", "MIT", code)) == code


def test_a_sample_is_the_same_each_time_and_counts_what_is_missing_apart():
    codes = [f"let x: u8 = {n};" for n in range(8)] + ["use rand::Rng;", "let x: u8 = 256.0;"]
    rows = [Document.of("docs", "page", "example", "MIT", code) for code in codes]
    sample = verify_sample(rows, 20, progress=False)
    assert (sample.texts, sample.counts, sample.external) == (
        10,
        {"valid": 8, "compilation_failed": 1, "semantic_error": 1},
        1,
    )
    assert verify_sample(rows, 3, progress=False).counts == verify_sample(rows, 3, progress=False).counts


def test_without_a_compiler_the_sample_says_why(monkeypatch):
    def no_compiler(_):
        raise ToolchainUnavailable("rustc is not on the PATH")

    monkeypatch.setattr(verify, "RustVerifier", no_compiler)
    sample = verify_sample([Document.of("docs", "page", "example", "MIT", "let x = 1;")], 1)
    assert sample.counts == {} and sample.problem == "rustc is not on the PATH"


@settings(max_examples=60)
@given(
    sizes=st.lists(st.lists(st.integers(1, 40), min_size=1, max_size=9), min_size=2, max_size=4),
    shares=st.lists(st.floats(0.05, 1), min_size=4, max_size=4),
)
def test_a_mix_gives_every_source_its_share_of_the_bytes(sizes, shares):
    rows = [
        Document.of(f"source {source}", "", "file", "MIT", f"{source}-{index:03}".ljust(5 + size, "x"))
        for source, parts in enumerate(sizes)
        for index, size in enumerate(parts)
    ]
    wanted = {f"source {source}": shares[source] for source in range(1, len(sizes))}
    mixed = mix_documents(rows, wanted)
    assert mixed == mix_documents(rows, wanted)
    held = {source: sum(len(row.code) for row in mixed if row.source == source) for source in wanted}
    assert {row.source for row in mixed} == set(wanted)
    assert max(Counter(row.id for row in mixed).values()) <= MAX_REPEATS + 1
    # Every source holds its quota and at most one text more.
    longest = {source: max(len(row.code) for row in rows if row.source == source) for source in wanted}
    for one, other in permutations(wanted, 2):
        assert held[one] / wanted[one] - held[other] / wanted[other] <= longest[one] / wanted[one] + 1e-9


def test_a_scarce_source_is_read_again_and_whole():
    rows = [Document.of("many", str(index), "file", "MIT", f"{index:04}") for index in range(100)]
    rows += [Document.of("few", str(index), "file", "MIT", f"f{index:03}") for index in range(10)]
    mixed = mix_documents(rows, {"many": 3, "few": 1})
    readings = Counter(row.id for row in mixed if row.source == "few")
    assert set(readings.values()) <= {2, 3} and len(readings) == 10
    # Read at most four times, so that not all of the others fit.
    mixed = mix_documents(rows, {"many": 1, "few": 1})
    assert Counter(row.source for row in mixed) == {"many": 40, "few": 40}
    assert set(Counter(row.id for row in mixed if row.source == "few").values()) == {4}


@pytest.mark.parametrize("shares", [{}, {"a": 0}, {"a": -1}, {"a": float("nan")}, {"a": "much"}, 3])
def test_impossible_shares_are_refused_by_name(shares):
    with pytest.raises(ValueError, match="data.mix must be None or map names of sources to positive shares, got"):
        check_shares("data.mix", shares)


def test_a_source_that_is_not_there_is_named():
    with pytest.raises(ValueError, match=r"a mix must name existing sources \(builtin\), got web"):
        mix_documents(list(read_builtin()), {"builtin": 1, "web": 1})


def test_the_sources_of_a_folder_are_its_subfolders(tmp_path):
    for name in ("lib.rs", "web/a.rs", "synthetic/deep/b.rs"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"// {name}")
    assert {row.path: row.source for row in FolderSource(tmp_path).read()} == {
        "lib.rs": tmp_path.name,
        "web/a.rs": "web",
        "synthetic/deep/b.rs": "synthetic",
    }


def test_a_verifier_that_failed_ends_the_work_instead_of_leaving_texts_out():
    fine = Verdict("valid", dict(NOT_REACHED))
    assert decided([fine]) == [fine]
    with pytest.raises(SandboxFailure, match="the verifier failed for 1 programs"):
        decided([fine, Verdict("unavailable", dict(NOT_REACHED))])
