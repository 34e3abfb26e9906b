"""Which documents of a source are used: by stars, tests and license."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from trainers.data.sources.document import UNKNOWN_LICENSE, Document
from trainers.data.sources.licenses import PERMISSIVE, is_allowed, spdx_licensing

STARS_UNKNOWN = "without a known number of stars"
TESTS_UNKNOWN = "without a known number of tests"
LICENSE_UNKNOWN = "without a known license"


@dataclass(frozen=True)
class SourceFilter:
    """
    Conditions for documents.

    Attributes:
        min_stars: Minimum number of stars of the repository. If it is above 0, documents whose source does not know
            the stars are left out: only tables and data sets of the Hub can have them.
        min_tests: Minimum number of tests of the crate. If it is above 0, documents whose tests were not counted are
            left out.
        compilation_required: Whether documents that the compiler does not accept are left out. It is for the step that
            compiles them; `reason` does not.
        licenses: SPDX identifiers of the licenses that are allowed, or None for all. One side of an OR must be
            allowed, and both of an AND; unknown licenses are not.
    """

    min_stars: int = 0
    min_tests: int = 0
    compilation_required: bool = False
    licenses: frozenset[str] | None = PERMISSIVE

    def __post_init__(self):
        for name, value in (("min_stars", self.min_stars), ("min_tests", self.min_tests)):
            if value < 0:
                raise ValueError(f"{name} must be at least 0, got {value}")
        if self.licenses is not None:
            known = spdx_licensing().known_symbols
            unknown = sorted(name for name in self.licenses if name not in known)
            if unknown:
                raise ValueError(f"licenses must be SPDX identifiers such as Apache-2.0, got {', '.join(unknown)}")

    def reason(self, document: Document) -> str | None:
        """Return the reason why a document is left out, as it follows a count, or None if it is used."""
        if self.min_stars and document.stars is None:
            return STARS_UNKNOWN
        if self.min_stars and (document.stars or 0) < self.min_stars:
            return f"with fewer than {self.min_stars} stars"
        if self.min_tests and document.num_tests is None:
            return TESTS_UNKNOWN
        if self.min_tests and (document.num_tests or 0) < self.min_tests:
            return f"with fewer than {self.min_tests} tests"
        if self.licenses is not None and not is_allowed(document.license, self.licenses):
            if document.license == UNKNOWN_LICENSE:
                return LICENSE_UNKNOWN
            return f"with the license {document.license}"
        return None

    def apply(self, documents: Iterable[Document], left_out: Counter[str]) -> Iterator[Document]:
        """Yield the documents that fulfill the conditions, and count the others in `left_out` by the reason."""
        for document in documents:
            reason = self.reason(document)
            if reason is None:
                yield document
            else:
                left_out[reason] += 1
