"""A strict reader of HTML pages, for tests."""

import base64
import gzip
import hashlib
import json
from html.parser import HTMLParser

ATTACK = '</pre><script>fetch("https://example.org")</script><img src=x onerror=alert(1)> {{ 7 * 7 }} \x00\ud800'
EMPTY = ("meta", "img", "link", "br", "input")


class Reader(HTMLParser):
    """Tags with their attributes, the text, and the scripts of a page."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.open, self.text, self.scripts = [], [], "", []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag == "script":
            self.scripts.append("")
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts[-1] += data
        else:
            self.text += data

    @property
    def names(self):
        """Names of the tags."""
        return {tag for tag, _ in self.tags}

    @property
    def samples(self):
        """What the browser of samples shows."""
        (data,) = [text for text, kind in self._scripts() if kind == "application/gzip"]
        return [json.loads(line) for line in gzip.decompress(base64.b64decode(data)).decode().splitlines()]

    def _scripts(self):
        kinds = [attributes.get("type") for tag, attributes in self.tags if tag == "script"]
        return list(zip(self.scripts, kinds, strict=True))

    def assert_inert(self):
        """Check that the page loads nothing, runs only the browser of samples, and forbids anything else."""
        assert self.names.isdisjoint({"link", "iframe", "object", "embed", "form"})
        assert not any(name.startswith("on") for _, attributes in self.tags for name in attributes)
        assert all(source.startswith("data:image/png;base64,") for source in self.attribute("img", "src"))
        rules = self.attribute("meta", "content")[1]
        assert "default-src 'none'" in rules
        code = [text for text, kind in self._scripts() if kind is None]
        hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in code]
        assert len(code) <= 1 and rules.count("sha256") == len(code) and all(each in rules for each in hashes)
        assert ("script-src" in rules) == bool(code)

    def attribute(self, tag, name):
        """Values of an attribute, in the order of the tags."""
        return [attributes[name] for each, attributes in self.tags if each == tag and name in attributes]
