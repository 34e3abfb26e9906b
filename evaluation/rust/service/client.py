"""The judge of another machine, over HTTP. A failure of the server is never the code's fault."""

import json
import math
import os
import random
import socket
import ssl
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2

from evaluation.rust.arguments import check_seconds
from evaluation.rust.judge.batching import Rules
from evaluation.rust.judging import SHORTEST_DEADLINE, Judge, JudgeSettings, JudgeUnavailable
from evaluation.rust.service.address import TOKEN_VARIABLE, checked_address
from evaluation.rust.tests_text import AnyTests, tests_to_text
from evaluation.rust.verdict import NOT_REACHED, Diagnostic, Verdict

CHUNK_CODES = 256
CHUNK_CHARACTERS = 1 << 20
"""Maximum numbers in a request; a code that is longer is alone in it."""
MOST_SENT = 1 << 20
"""Characters of a code that are sent. Far fewer are refused already, so what is cut off changes no verdict."""
CONNECTIONS = 8
POLL_SECONDS = 20.0
"""Longest time that a request asks for; what has no verdict by then is asked again."""
CONNECT_SECONDS, CHECK_SECONDS = 10.0, 600.0
GRACE_SECONDS = 10.0
"""How much later than the deadline of a request its answer may come."""
FIRST_DELAY, LONGEST_DELAY = 0.2, 5.0
"""Seconds between two attempts, which grow from one to the other."""
PASSING = (429, 500, 502, 503, 504)
"""Statuses after which the same request may succeed."""


class _NoAnswer(Exception):
    """
    A request without an answer.

    Attributes:
        busy: The server is there and asks to wait.
        after: Seconds that it asks to wait.
        final: Asking again is of no use: the name of the server is unknown, or it does not speak TLS.
    """

    def __init__(self, reason: str, busy: bool = False, after: float = 0.0, final: bool = False):
        super().__init__(reason)
        self.busy = busy
        self.after = after
        self.final = final


class _TokenRefused(JudgeUnavailable):
    """The server wants another token."""


class _Attempts:
    """
    When to ask again: delays that grow while there is no answer, and how long there has been none.

    Args:
        end: Time of `time.monotonic` of the last attempt.
        canceled: Ends the waiting.
    """

    def __init__(self, end: float, canceled: threading.Event):
        self._end = end
        self._canceled = canceled
        self._answered = time.monotonic()
        self._delay = FIRST_DELAY

    @property
    def left(self) -> float:
        """Seconds until the end."""
        return 0.0 if self._canceled.is_set() else self._end - time.monotonic()

    @property
    def silent(self) -> float:
        """Seconds since the last answer."""
        return time.monotonic() - self._answered

    def answered(self) -> None:
        """Note an answer."""
        self._answered = time.monotonic()
        self._delay = FIRST_DELAY

    def pause(self, after: float) -> None:
        """Wait before the next attempt, about `after` seconds or longer."""
        # Clients that lost their server together do not all return at once.
        self._canceled.wait(max(0.0, min(max(after, self._delay) * random.uniform(0.5, 1.0), self.left)))
        self._delay = min(2 * self._delay, LONGEST_DELAY)


Pair = tuple[str, AnyTests]


class RemoteJudge:
    """
    A judge behind `nanochat-ternary serve-judge`.

    A request that is not answered (the server is restarted, overloaded or cannot be reached) is repeated until the
    deadline; what the server judged meanwhile is in its cache. Codes without a verdict by then are `unavailable`.

    Args:
        url: Address of the server, such as "http://judge:8090".
        token: Its bearer token; None reads it from `NANOCHAT_JUDGE_TOKEN`, and sends none if that is not set.
        expected: Settings that the server must have; None accepts any.
        fallback: Makes the judge that answers where the server has not answered for `timeout` seconds; None keeps
            asking until the deadline.
        timeout: Seconds without any answer after which the server has failed.

    Attributes:
        settings: Settings of the server.

    Raises:
        ValueError: The address or the timeout is none, no judge answers there, it refuses the token, or it has other
            settings than expected.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        expected: JudgeSettings | None = None,
        fallback: Callable[[], Judge] | None = None,
        timeout: float = 60.0,
    ):
        check_seconds("timeout", timeout)
        self.url = checked_address(url)
        self.timeout = timeout
        self._token = token or os.environ.get(TOKEN_VARIABLE) or None
        self._make_fallback = fallback
        self._fallback: Judge | None = None
        self._client: httpx2.Client | None = None
        self._process = os.getpid()
        self._failed = False
        self._lock = threading.Lock()
        self.settings = self._connected()
        found = [] if expected is None else expected.differences(self.settings)
        if found:
            raise ValueError(
                f"judge_url must be a judge with the settings of this run, but {self.url} has {', '.join(found)}: "
                "start it with these, or give its own to the reward"
            )

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_lock": None, "_fallback": None, "_client": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _lock=threading.Lock())

    def judge(
        self,
        codes: Sequence[str],
        tests: Sequence[AnyTests],
        rules: Rules = "reward",
        deadline: float | None = None,
    ) -> list[Verdict]:
        if len(tests) != len(codes):
            raise ValueError(f"tests must be one for each code, got {len(tests)} for {len(codes)} codes")
        if deadline is not None:
            check_seconds("deadline", deadline)
        end = math.inf if deadline is None else time.monotonic() + deadline
        chunks = _chunks(dict.fromkeys(zip(codes, tests, strict=True)))
        canceled = threading.Event()
        verdicts: dict[Pair, Verdict] = {}
        with ThreadPoolExecutor(CONNECTIONS, "remote-judge") as pool:
            try:
                jobs = [pool.submit(self._judge_chunk, chunk, rules, _Attempts(end, canceled)) for chunk in chunks]
                for job in jobs:
                    verdicts |= job.result()
            finally:
                canceled.set()
        return [verdicts[pair] for pair in zip(codes, tests, strict=True)]

    def check_tests(self, tests: Sequence[AnyTests], progress: bool = False) -> None:
        texts = list(dict.fromkeys(text for text in map(tests_to_text, tests) if text is not None))
        for start in range(0, len(texts), CHUNK_CODES):
            self._ask_patiently("/check-tests", {"tests": texts[start : start + CHUNK_CODES]}, CHECK_SECONDS)

    def close(self) -> None:
        """Close the connections, and the fallback if it was needed. The next call opens them again."""
        with self._lock:
            if self._client is not None:
                self._client.close()
            if self._fallback is not None:
                self._fallback.close()
            self._client = self._fallback = None

    def _judge_chunk(self, chunk: Sequence[Pair], rules: Rules, attempts: _Attempts) -> dict[Pair, Verdict]:
        verdicts: dict[Pair, Verdict] = {}
        left, reason = list(chunk), "the deadline had passed"
        while left and attempts.left > 0:
            seconds = min(attempts.left, self.timeout, POLL_SECONDS)
            items = [{"code": code[:MOST_SENT], "tests": tests_to_text(test)} for code, test in left]
            try:
                body = {"items": items, "rules": rules, "deadline": seconds}
                reached, late = self._answer_of(self._ask("/judge", body, seconds + GRACE_SECONDS))
            except _NoAnswer as failure:
                reason = str(failure)
                if failure.busy:
                    attempts.answered()
                elif self._make_fallback is not None and (self._failed or attempts.silent > self.timeout):
                    return verdicts | self._judge_here(left, rules, attempts)
                elif attempts.silent > self.timeout and math.isinf(attempts.left):
                    break
                attempts.pause(failure.after)
                continue
            attempts.answered()
            self._failed = False
            verdicts |= {
                pair: verdict
                for index, (pair, verdict) in enumerate(zip(left, reached, strict=True))
                if index not in late
            }
            left = [pair for index, pair in enumerate(left) if index in late]
            reason = "it was busy until the deadline"
        return verdicts | dict.fromkeys(left, self._unavailable(reason))

    def _judge_here(self, left: Sequence[Pair], rules: Rules, attempts: _Attempts) -> dict[Pair, Verdict]:
        assert self._make_fallback is not None
        # The next call asks the server once, and does not wait for it again.
        self._failed = True
        with self._lock:
            if self._fallback is None:
                warnings.warn(f"{self.url} gives no answer; this machine judges instead", stacklevel=2)
                self._fallback = self._make_fallback()
        codes, tests = zip(*left, strict=True)
        seconds = None if math.isinf(attempts.left) else max(SHORTEST_DEADLINE, attempts.left)
        return dict(zip(left, self._fallback.judge(codes, tests, rules, seconds), strict=True))

    def _unavailable(self, reason: str) -> Verdict:
        told = Diagnostic(None, "other", f"no verdict of {self.url}: {reason}")
        edition, rustc = self.settings.edition, self.settings.rustc or ""
        return Verdict("unavailable", dict(NOT_REACHED), (told,), edition=edition, rustc=rustc)

    def _answer_of(self, answer: dict[str, Any]) -> tuple[list[Verdict], set[int]]:
        """Return the verdicts of an answer, and the indices of those that the deadline cut off."""
        try:
            found = JudgeSettings.from_dict(answer["settings"])
            verdicts, late = [Verdict.from_dict(each) for each in answer["verdicts"]], set(answer["late"])
        except (KeyError, TypeError, ValueError) as error:
            raise JudgeUnavailable(f"{self.url} does not answer as a judge: {error}") from error
        changed = self.settings.differences(found)
        if changed:
            raise JudgeUnavailable(f"the judge at {self.url} was started again with {', '.join(changed)}")
        return verdicts, late

    def _connected(self) -> JudgeSettings:
        """Return the settings of the server, once it accepts the token."""
        try:
            answer = self._ask_patiently("/judge", {"items": []}, CONNECT_SECONDS)
            return JudgeSettings.from_dict(answer["settings"])
        except _TokenRefused as error:
            raise ValueError(str(error)) from error
        except (JudgeUnavailable, KeyError, TypeError) as error:
            raise ValueError(
                f"the judge's url must be the address of `nanochat-ternary serve-judge`, got {self.url}: {error}"
            ) from error

    def _ask_patiently(self, path: str, body: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Ask until there is an answer. Raises `JudgeUnavailable` after `timeout` seconds without any."""
        attempts, is_told = _Attempts(math.inf, threading.Event()), False
        while True:
            try:
                return self._ask(path, body, seconds)
            except _NoAnswer as failure:
                if failure.busy:
                    attempts.answered()
                elif failure.final or attempts.silent > self.timeout:
                    raise JudgeUnavailable(f"{self.url} gives no answer: {failure}") from failure
                elif not is_told:
                    told = f"no answer from {self.url} ({failure}); asking again for {self.timeout:.0f} seconds"
                    warnings.warn(told, stacklevel=2)
                    is_told = True
                attempts.pause(failure.after)

    def _connections(self) -> httpx2.Client:
        """Return the HTTP client of this process."""
        with self._lock:
            if self._client is None or self._process != os.getpid():
                headers = {} if self._token is None else {"Authorization": f"Bearer {self._token}"}
                # The judge is a machine of one's own: no proxy of the environment lies between.
                limits = httpx2.Limits(max_connections=None)
                self._client = httpx2.Client(base_url=self.url, headers=headers, limits=limits, trust_env=False)
                self._process = os.getpid()
            return self._client

    def _ask(self, path: str, body: dict[str, Any], seconds: float) -> dict[str, Any]:
        """
        Send one request.

        Raises:
            _NoAnswer: It may succeed later.
            ValueError: The server finds fault with the tests.
            JudgeUnavailable: It refuses the token, or is no judge.
        """
        timeout = httpx2.Timeout(seconds, connect=min(seconds, CONNECT_SECONDS))
        # Not httpx's own encoding, which refuses lone surrogates.
        content = json.dumps(body).encode()
        try:
            headers = {"Content-Type": "application/json"}
            answer = self._connections().post(path, content=content, headers=headers, timeout=timeout)
        except httpx2.TransportError as error:
            raise _NoAnswer(str(error) or type(error).__name__, final=_is_final(error)) from error
        if answer.status_code in PASSING:
            after = answer.headers.get("Retry-After", "")
            busy = answer.status_code == 429
            raise _NoAnswer(_message_of(answer), busy, float(after) if after.isdecimal() else 0.0)
        if answer.status_code == 400:
            raise ValueError(_message_of(answer))
        if answer.status_code == 401:
            refused = "needs a token" if self._token is None else "refuses the token that was given"
            raise _TokenRefused(
                f"the judge at {self.url} {refused}: pass the one it was started with, as judge_token of RustReward "
                f"or token of RemoteJudge, or set {TOKEN_VARIABLE}"
            )
        if answer.status_code != 200:
            raise JudgeUnavailable(f"{self.url} answers with status {answer.status_code}: {_message_of(answer)}")
        try:
            values = answer.json()
        except ValueError as error:
            raise JudgeUnavailable(f"{self.url} does not answer as a judge: {error}") from error
        if not isinstance(values, dict):
            raise JudgeUnavailable(f"{self.url} does not answer as a judge")
        return values


def _is_final(error: BaseException) -> bool:
    """Whether a request failed because of an unknown name or of TLS, according to the errors that led to this one."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, socket.gaierror | ssl.SSLError):
        cause = cause.__cause__ or cause.__context__
    return cause is not None


def _message_of(answer: httpx2.Response) -> str:
    """Return the message of an error, or its beginning if it is none of the judge's."""
    try:
        return str(answer.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return answer.text[:200].strip() or answer.reason_phrase


def _chunks(pairs: Iterable[Pair]) -> list[list[Pair]]:
    """Divide what is asked into requests."""
    chunks: list[list[Pair]] = []
    size = 0
    for code, tests in pairs:
        length = min(len(code), MOST_SENT) + len(tests_to_text(tests) or "")
        if not chunks or len(chunks[-1]) == CHUNK_CODES or size + length > CHUNK_CHARACTERS:
            chunks.append([])
            size = 0
        chunks[-1].append((code, tests))
        size += length
    return chunks
