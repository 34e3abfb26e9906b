"""The tests of a hole task: which function of which crate is judged, and by which of its unit tests."""

import json
from dataclasses import dataclass


@dataclass(frozen=True)
class HoleTests:
    """
    Unit tests of a crate that judge a body of one of its functions.

    Raises:
        ValueError: A field is empty or no text, or there is no test.
    """

    crate: str
    """Name of the crate."""
    version: str
    function: str
    """Path of the function in the crate, as in `Function.name`."""
    tests: tuple[str, ...]
    """Paths of the tests."""

    def __post_init__(self):
        for name in ("crate", "version", "function"):
            value = getattr(self, name)
            if not isinstance(value, str) or not value:
                raise ValueError(f"{name} of hole tests must be a text that is not empty, got {value!r}")
        named = isinstance(self.tests, tuple) and all(isinstance(each, str) and each for each in self.tests)
        if not named or not self.tests or len(set(self.tests)) < len(self.tests):
            raise ValueError(f"tests of hole tests must be different names of tests, got {self.tests!r}")

    @property
    def package(self) -> str:
        """Name and version of the crate, such as `serde-1.0.152`."""
        return f"{self.crate}-{self.version}"

    @property
    def simple_name(self) -> str:
        """Name of the function without its path."""
        return self.function.rpartition("::")[2]

    def as_text(self) -> str:
        """Return a text from which `parse` makes equal tests: a line of JSON."""
        values = {"crate": self.crate, "version": self.version, "function": self.function, "tests": list(self.tests)}
        return json.dumps(values, ensure_ascii=False)

    @classmethod
    def parse(cls, text: str) -> "HoleTests":
        """Return the tests that `as_text` wrote. Raises `ValueError`."""
        try:
            values = json.loads(text)
            return cls(values["crate"], values["version"], values["function"], tuple(values["tests"]))
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"hole tests must be JSON with crate, version, function and tests: {error}") from error
