"""Pages of completions: successes first, links between them, and nothing that a model wrote becomes markup."""

import json
import math

from tests.helpers.html_reader import ATTACK, Reader
from trainers.reinforcement.sample_page import JudgedSample, SamplePage, write_page


def read(path):
    return Reader(path.read_text(encoding="utf-8"))


def sample(prompt, success, advantage=0.0, completion="1 }", message=""):
    return JudgedSample(prompt, completion, success, advantage, "valid" if success == 1 else "refused", message)


def links(path):
    """Where `previous` and `next` lead."""
    tags = read(path).tags
    return [
        next((attributes["href"] for tag, attributes in tags if tag == "a" and attributes.get("rel") == rel), None)
        for rel in ("prev", "next")
    ]


def test_successes_come_first_and_prompts_that_are_solved_most_before_others(tmp_path):
    samples = [
        sample("fn a() {", 0.0),
        sample("fn b() {", 0.0, -1.0),
        sample("fn b() {", 1.0, 1.0),
        sample("fn b() {", math.nan),
        sample("fn c() {", 1.0),
        sample("fn a() {", 0.0),
    ]
    page = read(write_page(tmp_path / "step_1.html", "Step 1", samples))
    kinds = page.attribute("article", "class")
    assert kinds == ["success", "success", "unscorable", "failure", "failure", "failure"]
    assert [page.text.index(f"fn {name}()") for name in "cba"] == sorted(page.text.index(f"fn {n}()") for n in "abc")
    assert [each["kind"] for each in page.samples] == kinds


def test_pages_lead_to_each_other_and_the_index_to_all(tmp_path):
    for step in (0, 8, 16):
        write_page(tmp_path / f"step_{step:06d}.html", f"Step {step}", [sample("fn a() {", step > 0)])
    names = [f"step_{step:06d}.html" for step in (0, 8, 16)]
    assert [links(tmp_path / name) for name in names] == [[None, names[1]], [names[0], names[2]], [names[1], None]]
    assert read(tmp_path / "index.html").attribute("a", "href") == names


def test_a_run_that_continues_from_an_earlier_step_leaves_no_page_of_the_lost_ones(tmp_path):
    for step in (0, 8, 16, 8):
        write_page(tmp_path / f"step_{step:06d}.html", f"Step {step}", [sample("fn a() {", 1.0)])
    assert sorted(path.stem for path in tmp_path.glob("step_*.html")) == ["step_000000", "step_000008"]
    assert links(tmp_path / "step_000008.html") == ["step_000000.html", None]


def test_what_a_success_is_stands_on_every_page(tmp_path):
    path = write_page(tmp_path / "step_1.html", "Step 1", [sample("fn a() {", 1.0)], "it compiles & has the signature")
    for page in (path, tmp_path / "index.html"):
        assert "Success: it compiles & has the signature." in read(page).text


def test_what_a_model_writes_stays_text(tmp_path):
    attacked = JudgedSample(ATTACK, ATTACK, 0.0, -1.0, ATTACK, ATTACK)
    path = write_page(tmp_path / "step_1.html", ATTACK, [attacked], ATTACK)
    for page in map(read, (path, tmp_path / "index.html")):
        page.assert_inert()
        assert "{{ 7 * 7 }}" in page.text and "img" not in page.names


def test_conversations_are_shown_as_their_messages(tmp_path):
    prompt = [{"role": "user", "content": "Write <T>"}]
    answer = [{"role": "assistant", "content": "fn f() {}"}]
    page = read(write_page(tmp_path / "step_1.html", "Step 1", [JudgedSample(prompt, answer, 1.0, 0.5, "valid", "")]))
    assert "user: Write <T>" in page.text and "assistant: fn f() {}" in page.text


def test_the_samples_are_kept_as_data_too(tmp_path):
    samples = [sample("fn a() {", 1.0, 0.5), sample("fn a() {", math.nan)]
    path = write_page(tmp_path / "step_1.html", "Step 1", samples, "it compiles").with_suffix(".json")
    strict = json.loads(path.read_text(), parse_constant=lambda name: 1 / 0)
    assert [row["success"] for row in strict["samples"]] == [1.0, None]
    page = SamplePage.read(path)
    assert page.samples[0] == samples[0] and math.isnan(page.samples[1].success)
    assert (page.solved, page.groups_solved, page.success) == (1, 1, "it compiles")
