"""The compile rate of a source: what it counts, and when it stops the work."""

import pytest

from trainers.data.preparation.statistics import CompileRateTooLow, ProcessingStats


def test_a_source_that_compiles_too_rarely_stops_the_work_with_its_numbers():
    stats = ProcessingStats(min_compile_rate=0.5, verify_every_n_examples=4)
    stats.add("web", "verified")
    for _ in range(2):
        stats.add("web", "rejected", "type")
    with pytest.raises(CompileRateTooLow, match=r"source web .* 1 of 4 judged rows \(25.0%\).*50.0%.*3 type"):
        stats.add("web", "rejected", "type")


def test_good_sources_do_not_hide_a_bad_one():
    stats = ProcessingStats(min_compile_rate=0.5, verify_every_n_examples=4)
    for _ in range(100):
        stats.add("good", "verified")
    with pytest.raises(CompileRateTooLow, match="source bad"):
        for _ in range(4):
            stats.add("bad", "rejected", "borrow")


def test_rows_that_nobody_can_judge_leave_the_rate():
    stats = ProcessingStats(min_compile_rate=1.0, verify_every_n_examples=1)
    stats.add("web", "verified")
    for _ in range(50):
        stats.add("web", "not_judged", "nightly")
    stats.check()
    assert stats.sources["web"].compile_rate == 1.0
    assert stats.sources["web"].reasons == {"nightly": 50}


def test_a_source_with_few_rows_is_checked_at_the_end():
    stats = ProcessingStats(min_compile_rate=0.5, verify_every_n_examples=100)
    stats.add("small", "rejected", "syntax")
    with pytest.raises(CompileRateTooLow, match="source small"):
        stats.check()


def test_code_that_does_not_parse_is_counted_by_itself():
    stats = ProcessingStats()
    stats.add("web", "rejected", "syntax")
    stats.add("web", "rejected", "type")
    assert (stats.sources["web"].invalid, stats.sources["web"].failed_compile) == (1, 1)
