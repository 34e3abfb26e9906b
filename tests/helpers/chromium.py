"""Chromium without a window, where there is one: Debian's, Google's, or that of playwright."""

import shutil
from contextlib import contextmanager

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")


@contextmanager
def browser():
    """Start Chromium; the test is skipped, with the reason, without it."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright (pip install playwright)")
    with playwright.sync_playwright() as started:
        own = started.chromium.executable_path
        path = next((found for name in NAMES if (found := shutil.which(name))), shutil.which(own))
        if path is None:
            pytest.skip("needs Chromium (apt-get install chromium)")
        # As root Chromium starts only without its sandbox; the pages are files of the test.
        chromium = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield chromium
        finally:
            chromium.close()


class Page:
    """A page of a file, with what it says on the console and where it tries to load something from."""

    def __init__(self, chromium, path, address="", **settings):
        self.console, self.requests = [], []
        self.page = chromium.new_page(**settings)
        self.page.on("console", lambda message: self.console.append(message.text))
        self.page.on("pageerror", lambda error: self.console.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url.partition("#")[0]))
        self.page.goto(path.as_uri() + address)
        self.page.wait_for_function("document.documentElement.dataset.ready", timeout=60_000)

    @property
    def seconds(self):
        """Time from the start of the page until its samples are shown."""
        return float(self.page.evaluate("document.documentElement.dataset.ready")) / 1000

    def texts(self, selector):
        """Text of all elements that match."""
        return self.page.locator(selector).all_inner_texts()

    def shows(self, count):
        """Wait until the line above the list says how many samples match."""
        self.page.wait_for_function(
            "count => document.getElementById('count').textContent.startsWith(count)", arg=count
        )
