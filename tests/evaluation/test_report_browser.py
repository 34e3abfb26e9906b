"""The page of a report in a real browser: it finds samples fast, marks errors, and runs nothing that a model wrote."""

import time

import pytest

from evaluation.report.write import report_results
from evaluation.tables import plain_console
from tests.helpers.chromium import Page, browser
from tests.helpers.results_folders import write_results

HOSTILE = (
    "    drop(text);\n    text</script><script>window.planted = 1</script><!-- <script>"
    '<img src=x onerror="window.planted = 2"></noscript></textarea>\u202e {{ 7 * 7 }}\n}'
)


@pytest.fixture(scope="module")
def chromium():
    with browser() as started:
        yield started


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two depths of one model, and another model that writes what must not run."""
    folder = tmp_path_factory.mktemp("results")
    write_results(folder / "loops_1", loops=1)
    write_results(folder / "loops_2", loops=2)
    write_results(folder / "hostile", problems=90, text=HOSTILE)
    console = plain_console()
    console.quiet = True
    report_results(folder, console)
    return folder


@pytest.fixture
def page(chromium, folder):
    opened = Page(chromium, folder / "report.html")
    yield opened
    opened.page.close()


def test_it_opens_without_errors_and_loads_nothing(page, folder):
    assert page.console == [] and set(page.requests) - {(folder / "report.html").as_uri()} == set()
    assert page.texts("#count") == ["102 of 102 samples"] and page.page.locator("table.grid").count() >= 4


def test_only_the_visible_rows_are_rendered_and_scrolling_renders_others(page):
    assert 5 < page.page.locator(".row").count() < 60
    page.page.evaluate("document.getElementById('list').scrollTop = 1e9")
    page.page.wait_for_function("document.querySelector('.row:last-child').innerText.includes('loops_2')")
    assert page.page.locator(".row").count() < 60


def test_hostile_code_is_shown_and_does_not_run(page):
    page.page.select_option("#run", "hostile")
    page.shows("90 of")
    assert page.page.evaluate("window.planted") is None and page.page.locator("img[src='x']").count() == 0
    shown = page.texts(".code")[0]
    assert "</script><script>window.planted = 1</script><!--" in shown and "U+202E" in shown and "{{ 7 * 7 }}" in shown


def test_verdicts_and_texts_filter_the_list(page):
    chips = page.texts("#chips button")
    assert [chip.strip() for chip in chips] == ["invalid_syntax 34", "semantic_error 34", "valid 34"]
    page.page.click("#chips button[data-status=semantic_error]")
    page.shows("34 of")
    page.page.fill("#search", "PROBLEM_4")
    page.shows("7 of")
    assert all("semantic_error" in row and "problem_4" in row for row in page.texts(".row"))
    page.page.fill("#search", "no such text")
    page.shows("0 of")
    assert page.texts("#detail") == ["No sample matches."]


def test_the_message_of_the_compiler_stands_below_its_line(page):
    page.page.select_option("#run", "loops_1")
    page.page.fill("#search", "e0382")
    page.shows("2 of")
    marked = page.page.locator(".line.marked").first
    assert marked.locator(".number").inner_text() == "3" and marked.locator(".spot").first.inner_text() == "text"
    below = marked.locator("xpath=following-sibling::*[1]").inner_text()
    assert below.startswith("error[E0382]: use of moved value: `text` (line 3, column 5)")


def test_tokens_say_the_loop_after_which_they_left(page):
    page.page.select_option("#run", "hostile")
    page.shows("90 of")
    tokens = page.page.locator(".token")
    assert tokens.first.get_attribute("title") == "left after loop 4 of 4" and "loop 1: " in page.texts(".legend")[0]
    colors = tokens.evaluate_all("all => all.map(each => [each.dataset.loop, each.style.background])")
    assert len({color for _, color in colors}) == len({loop for loop, _ in colors}) == 4
    page.page.keyboard.press("t")
    assert page.page.locator(".token").count() == 0


def test_one_problem_is_shown_at_all_depths_side_by_side(page):
    page.page.select_option("#run", "loops_1")
    page.shows("6 of")
    page.page.keyboard.press("s")
    assert [each.partition(" · ")[0] for each in page.texts(".columns h4")] == ["loops_1", "loops_2", "hostile"]


def test_the_address_names_the_sample_and_opens_it_again(chromium, folder, page):
    page.page.click("#chips button[data-status=valid]")
    page.page.keyboard.press("j")
    page.page.keyboard.press("j")
    title, address = page.texts("#detail h3"), page.page.evaluate("location.hash")
    assert title == ["problem_6 #0"]
    again = Page(chromium, folder / "report.html", address)
    assert again.texts("#detail h3") == title and again.texts("#count") == ["34 of 102 samples"]
    assert again.page.locator(".row[aria-selected=true]").count() == 1
    again.page.close()


def test_a_phone_shows_it_without_scrolling_sideways(chromium, folder):
    phone = Page(chromium, folder / "report.html", viewport={"width": 390, "height": 844})
    assert phone.page.evaluate("document.documentElement.scrollWidth") == 390
    phone.page.close()


@pytest.mark.slow
def test_ten_thousand_samples_open_in_seconds(chromium, tmp_path):
    write_results(tmp_path / "many", problems=500, samples=20, text=HOSTILE + "\n// a line of Rust" * 40)
    console = plain_console()
    console.quiet = True
    started = time.perf_counter()
    report_results(tmp_path, console)
    written, file = time.perf_counter() - started, tmp_path / "report.html"
    page = Page(chromium, file)
    # The numbers of docs/evaluation.md.
    print(f"written in {written:.1f} s, {file.stat().st_size / 1e6:.1f} MB, list after {page.seconds:.2f} s")
    assert page.texts("#count") == ["10,000 of 10,000 samples"] and page.seconds < 10
