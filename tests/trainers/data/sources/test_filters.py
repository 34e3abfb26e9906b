"""Filters, the registry of sources and the table of mixes."""

from collections import Counter

import pytest

from trainers.data.mix_names import MIX_NAMES, RECIPE_MIXES, SOURCE_WEIGHTS, parts_of_mix, weight_group
from trainers.data.sources import SOURCES, Document, SourceFilter, parse_source
from trainers.data.sources.filters import LICENSE_UNKNOWN, STARS_UNKNOWN, TESTS_UNKNOWN
from trainers.data.sources.licenses import debian_expression, spdx_expression


def document(license="MIT", **more):
    return Document.of("s", "p", "file", license, "fn f() {}", **more)


@pytest.mark.parametrize(
    ("license", "passes"),
    [
        ("MIT", True),
        ("MIT/Apache-2.0", True),
        ("GPL-3.0-only OR MIT", True),
        ("GPL-3.0-only AND MIT", False),
        ("GPL-3.0-or-later", False),
        ("(MIT OR GPL-2.0-only) AND BSD-3-Clause", True),
        ("Apache-2.0 WITH LLVM-exception", True),
        ("GPL-2.0-only WITH Classpath-exception-2.0", False),
        ("MPL-2.0+", False),
        ("LicenseRef-own", False),
        ("unknown", False),
        ("see the file LICENSE", False),
        ("MIT OR", False),
        ("", False),
    ],
)
def test_the_list_of_licenses_is_applied_to_expressions(license, passes):
    assert (SourceFilter().reason(document(spdx_expression(license))) is None) == passes
    assert SourceFilter(licenses=None).reason(document(license)) is None


@pytest.mark.parametrize(
    ("debian", "spdx"),
    [
        ("Expat or GPL-2+, and CC0", "(MIT OR GPL-2.0-or-later) AND CC0-1.0"),
        ("LGPL-2.1", "LGPL-2.1-only"),
        ("Apache-2.0 with LLVM exception", "Apache-2.0 WITH LLVM-exception"),
        ("BSD-2-clause", "BSD-2-Clause"),
        ("Sun custom", "LicenseRef-Sun-custom"),
    ],
)
def test_names_of_debian_become_those_of_spdx(debian, spdx):
    assert debian_expression(debian) == spdx


def test_unknown_numbers_do_not_pass_a_minimum_and_are_counted_apart():
    rows = [document(), document(stars=49, num_tests=9), document(stars=50, num_tests=9), document(stars=50)]
    rows += [document(stars=50, num_tests=10), document("unknown", stars=50, num_tests=10)]
    left_out = Counter()
    assert list(SourceFilter(min_stars=50, min_tests=10).apply(rows, left_out)) == [rows[4]]
    assert left_out == {
        STARS_UNKNOWN: 1,
        "with fewer than 50 stars": 1,
        "with fewer than 10 tests": 1,
        TESTS_UNKNOWN: 1,
        LICENSE_UNKNOWN: 1,
    }


def test_impossible_conditions_are_refused():
    with pytest.raises(ValueError, match="min_tests must be at least 0, got -1"):
        SourceFilter(min_tests=-1)
    with pytest.raises(ValueError, match="licenses must be SPDX identifiers such as Apache-2.0, got MITT"):
        SourceFilter(licenses=frozenset({"MIT", "MITT"}))


def test_every_kind_of_source_has_a_weight_and_a_part_of_the_mix():
    assert sum(SOURCE_WEIGHTS.values()) == pytest.approx(1)
    assert all(sum(mix.values()) == pytest.approx(1) and tuple(mix) == MIX_NAMES for mix in RECIPE_MIXES.values())
    kinds = [*SOURCES, "synthetic"]
    assert {weight_group(kind) for kind in kinds} == set(SOURCE_WEIGHTS)
    assert {part for kind in kinds for part in parts_of_mix(kind, True)} == set(MIX_NAMES)
    assert not any("verified_examples" in parts_of_mix(kind, False) for kind in kinds)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("web=x", "source must be one of crates, .* got 'web'"),
        ("crates", "source crates must have the form crates=PATH, got 'crates'"),
        ("crates=x,code=y", "source crates has no options, got the option 'code'"),
        ("builtin=x", "source builtin must be given without a path"),
        ("folder=x,default_license=my own", "default_license must be an SPDX expression such as MIT"),
        ("exercism=x,solutions=maybe", "solutions must be yes or no, got 'maybe'"),
    ],
)
def test_a_source_that_cannot_be_understood_is_an_error(text, message):
    with pytest.raises(ValueError, match=message):
        parse_source(text)


def test_every_kind_is_made_from_its_text(tmp_path):
    for name, kind in SOURCES.items():
        source = parse_source(f"{name}={tmp_path}" if kind.place_required else name)
        assert source.kind == name


def test_the_license_of_a_folder_can_be_said(tmp_path):
    (tmp_path / "a,b").mkdir()
    (tmp_path / "a,b" / "lib.rs").write_text("fn f() {}\n")
    (row,) = parse_source(f"folder={tmp_path / 'a,b'},default_license=MIT/ISC").read()
    assert (row.license, row.source, row.path) == ("MIT OR ISC", "a,b", "lib.rs")
