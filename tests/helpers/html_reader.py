"""A strict reader of HTML pages, for tests."""

from html.parser import HTMLParser

ATTACK = '</pre><script>fetch("https://example.org")</script><img src=x onerror=alert(1)> {{ 7 * 7 }} \x00\ud800'


class Reader(HTMLParser):
    """Tags with their attributes, and the text, of a page."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.open, self.text = [], [], ""
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in ("meta", "img", "link", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    @property
    def names(self):
        """Names of the tags."""
        return {tag for tag, _ in self.tags}

    def assert_inert(self):
        """Check that the page runs and loads nothing, and forbids a browser to do so."""
        assert self.names.isdisjoint({"script", "link", "iframe", "object", "embed", "form"})
        assert not any(name.startswith("on") for _, attributes in self.tags for name in attributes)
        assert all(source.startswith("data:image/png;base64,") for source in self.attribute("img", "src"))
        assert "default-src 'none'" in self.attribute("meta", "content")[1]

    def attribute(self, tag, name):
        """Values of an attribute, in the order of the tags."""
        return [attributes[name] for each, attributes in self.tags if each == tag and name in attributes]
