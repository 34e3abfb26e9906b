"""Where a judge and its clients find each other. The token is never in an option or in a file of a run."""

from urllib.parse import urlsplit

TOKEN_VARIABLE = "NANOCHAT_JUDGE_TOKEN"


def checked_address(url: str) -> str:
    """Return the address of a judge without a slash at its end. Raises `ValueError` if it is none."""
    rule = f"judge_url must be http://HOST:PORT or https://..., got {url!r}"
    try:
        parts = urlsplit(url)
        found = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1)
    except ValueError as error:
        raise ValueError(rule) from error
    if not found or not url.isascii() or " " in url or parts.query or parts.fragment or parts.username:
        raise ValueError(rule)
    return url.rstrip("/")
