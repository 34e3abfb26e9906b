"""Version requirements mean what the Cargo Book says."""

import pytest

from evaluation.rust.crates.semver import Requirement, Version

ORDERED = (
    "0.0.1 0.9.0 1.0.0-alpha 1.0.0-alpha.1 1.0.0-alpha.beta 1.0.0-beta 1.0.0-beta.2 1.0.0-beta.11 1.0.0-rc.1 1.0.0 "
    "1.0.1"
)

TABLE = """
^1.2.3      1.2.3 1.2.4 1.9.0           | 1.2.2 2.0.0 0.9.0 2.0.0-rc.1 1.5.0-rc.1
1.2.3       1.2.3 1.9.0 1.2.4+meta      | 2.0.0 1.2.2
1.2         1.2.0 1.9.9                 | 1.1.9 2.0.0
1           1.0.0 1.9.9                 | 0.9.9 2.0.0
0.2.3       0.2.3 0.2.9                 | 0.2.2 0.3.0 1.0.0
0.2         0.2.0 0.2.9                 | 0.1.9 0.3.0
0.0.3       0.0.3                       | 0.0.2 0.0.4 0.1.0
0.0         0.0.0 0.0.9                 | 0.1.0
0           0.0.0 0.9.9                 | 1.0.0
~1.2.3      1.2.3 1.2.9                 | 1.2.2 1.3.0
~1.2        1.2.0 1.2.9                 | 1.1.9 1.3.0
~1          1.0.0 1.9.9                 | 2.0.0
*           0.0.0 9.9.9                 | 1.0.0-rc.1
1.*         1.0.0 1.9.0                 | 0.9.0 2.0.0
1.2.*       1.2.0 1.2.9                 | 1.3.0
=1.2.3      1.2.3 1.2.3+git             | 1.2.4 1.2.2
=1.2        1.2.0 1.2.9                 | 1.3.0
>=1.2       1.2.0 5.0.0                 | 1.1.9
>1.2        1.3.0 5.0.0                 | 1.2.0 1.2.9
>1.2.3      1.2.4                       | 1.2.3
<2          0.0.1 1.9.9                 | 2.0.0
<=1.2       1.2.9                       | 1.3.0
<=1.2.3     1.2.3                       | 1.2.4
>=1.2,<1.5  1.2.0 1.4.9                 | 1.5.0 1.1.0
>=0.14.0,<0.15.0 0.14.4                 | 0.15.0
1.0.0-rc.1  1.0.0-rc.1 1.0.0-rc.2 1.0.0 1.3.0 | 1.0.0-alpha 1.1.0-rc.1 2.0.0
=1.0.0-alpha.5 1.0.0-alpha.5            | 1.0.0-alpha.6 1.0.0
0.14.1+1.5.0 0.14.1 0.14.2+1.5.1        | 0.15.0
"""
ROWS = [row.split("|") for row in TABLE.strip().splitlines()]


def test_versions_are_ordered_as_in_semantic_versioning():
    texts = ORDERED.split()
    versions = [Version.parse(text) for text in texts]
    assert sorted(reversed(versions)) == versions


@pytest.mark.parametrize("accepted, rejected", ROWS, ids=[row[0].split()[0] for row in ROWS])
def test_a_requirement_accepts_its_range_and_nothing_beside_it(accepted, rejected):
    text, *inside = accepted.split()
    requirement = Requirement.parse(text.replace(",", ", "))
    assert [version for version in inside if not requirement.matches(Version.parse(version))] == []
    assert [version for version in rejected.split() if requirement.matches(Version.parse(version))] == []


@pytest.mark.parametrize("text", ["", "1.2.3.4", "01.0.0", "latest", ">=", "1..2", "1,,2"])
def test_what_cargo_does_not_read_is_an_error_with_the_text(text):
    with pytest.raises(ValueError, match="requirement must be"):
        Requirement.parse(text)


@pytest.mark.parametrize("text", ["1", "1.0", "v1.0.0", "1.0.0-", "1.0.0.0"])
def test_a_version_has_three_numbers(text):
    with pytest.raises(ValueError, match="version must be"):
        Version.parse(text)
