"""Measured tables of the pages are those of the reports, and not typed by hand."""

import json

from measured import filled, pages

PAGE = "Before.\n\n<!-- measured: docs/one.json -->\n\nold\n\n<!-- end -->\n\nAfter.\n"


def test_the_pages_have_the_numbers_of_their_reports():
    assert pages()
    for page in pages():
        assert filled(page.read_text()) == page.read_text(), page


def test_a_table_has_the_metrics_that_the_report_has_with_every_model(tmp_path):
    rows = [["tasks", "pass@1", "160", "2.0%", "51.0%"], ["rustc", "compiles@1", "9", "1.0%", "1.0%"]]
    titles = ["Suite", "Metric", "Problems", "start", "sft"]
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "one.json").write_text(json.dumps({"overview": {"titles": titles, "rows": rows}}))
    words = "held-out tasks solved, sampled at temperature 1, of 160"
    table = f"|  | start | sft |\n| --- | ---: | ---: |\n| {words} | 2.0% | 51.0% |"
    assert filled(PAGE, tmp_path) == PAGE.replace("old", table)
