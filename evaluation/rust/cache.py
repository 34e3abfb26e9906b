"""A cache of verdicts: the most recent ones in memory, all of them in an SQLite file that processes may share."""

import json
import sqlite3
import threading
import time
import warnings
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from evaluation.rust.verdict import Verdict

FILE_NAME = "verdicts.sqlite3"
KEYS_PER_QUERY = 500  # below SQLite's limit on the variables of one statement
MEMORY_ENTRIES = 20_000
LOCK_SECONDS = 30.0  # to wait for other processes


def cache_key(code: bytes, question: dict, tests: str | None = None) -> bytes:
    """
    Return the key of a verdict.

    Args:
        code: Source of the snippet.
        question: Everything else that the verdict depends on: compiler, flags, limits, sandbox level, rules.
        tests: Text that identifies the tests.
    """
    header = json.dumps([question, tests, len(code)], sort_keys=True).encode()
    return sha256(header + code).digest()


class Cacheable(Protocol):
    """A verdict: a frozen dataclass with these fields, and a class method `from_dict` that reads `to_dict`."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def status(self) -> str:
        """`unavailable` if it says nothing."""
        ...

    @property
    def cached(self) -> bool:
        """Whether it was read from the cache."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        ...

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Any:
        """Return the verdict that `to_dict` wrote. Raises `ValueError`, `TypeError` or `KeyError`."""
        ...


V = TypeVar("V", bound=Cacheable)


class CacheOf(Generic[V]):
    """
    Verdicts by key: the most recently used ones in memory and, with a directory, all of them on disk.

    A damaged file is renamed and a new one created. If the disk is full or cannot be written, the cache warns once
    and continues in memory. Verdicts with the status `unavailable` are not kept: they say nothing about the code.

    Args:
        directory: Where to keep the file; None keeps verdicts in memory only.
        kind: Class of the verdicts.
        file_name: Name of the file; another kind of verdict needs another one.

    Raises:
        ValueError: The directory cannot be written.
    """

    def __init__(self, directory: str | Path | None, kind: type[V], file_name: str):
        self._kind = kind
        self._memory: OrderedDict[bytes, V] = OrderedDict()
        self._lock = threading.Lock()
        self.path: Path | None = None
        self._database: sqlite3.Connection | None = None
        if directory is not None:
            self.path = Path(directory) / file_name
            self._database = _open(self.path)

    def get(self, keys: Iterable[bytes]) -> dict[bytes, V]:
        """Return the verdicts known for these keys, marked as `cached`."""
        found, missing = {}, []
        with self._lock:
            for key in keys:
                verdict = self._memory.get(key)
                if verdict is None:
                    missing.append(key)
                else:
                    self._memory.move_to_end(key)
                    found[key] = verdict
            if self._database is not None:
                found |= self._read(self._database, missing)
        return found

    def _read(self, database: sqlite3.Connection, keys: list[bytes]) -> dict[bytes, V]:
        found = {}
        for start in range(0, len(keys), KEYS_PER_QUERY):
            part = keys[start : start + KEYS_PER_QUERY]
            query = f"SELECT key, verdict FROM verdicts WHERE key IN ({','.join('?' * len(part))})"
            try:
                rows = database.execute(query, part).fetchall()
            except sqlite3.OperationalError as error:
                self._give_up(database, error)
                return found
            except sqlite3.DatabaseError as error:
                assert self.path is not None, "a database has a path"
                database.close()
                _rename_damaged(self.path, error, stacklevel=4)
                self._database = _connect(self.path)
                return found
            for key, text in rows:
                try:
                    found[key] = replace(self._kind.from_dict(json.loads(text)), cached=True)
                except (ValueError, TypeError, KeyError):
                    continue  # written by another version: to be verified again and overwritten
                self._remember(key, found[key])
        return found

    def put(self, verdicts: dict[bytes, V]):
        """Add verdicts in one transaction."""
        kept = {key: verdict for key, verdict in verdicts.items() if verdict.status != "unavailable"}
        with self._lock:
            for key, verdict in kept.items():
                self._remember(key, replace(verdict, cached=True))
            if self._database is None or not kept:
                return
            rows = [(key, json.dumps(verdict.to_dict())) for key, verdict in kept.items()]
            try:
                with self._database:
                    self._database.executemany("INSERT OR REPLACE INTO verdicts VALUES (?, ?)", rows)
            except sqlite3.DatabaseError as error:
                self._give_up(self._database, error)

    def _remember(self, key: bytes, verdict: V):
        self._memory[key] = verdict
        self._memory.move_to_end(key)
        if len(self._memory) > MEMORY_ENTRIES:
            self._memory.popitem(last=False)

    def _give_up(self, database: sqlite3.Connection, error: Exception):
        warnings.warn(f"The cache of verdicts continues in memory only: {self.path}: {error}", stacklevel=4)
        database.close()
        self._database = None

    def __len__(self) -> int:
        """Return the number of verdicts on disk, or in memory without a disk."""
        with self._lock:
            if self._database is None:
                return len(self._memory)
            return self._database.execute("SELECT COUNT(*) FROM verdicts").fetchone()[0]

    def close(self):
        """Close the file."""
        with self._lock:
            if self._database is not None:
                self._database.close()
                self._database = None


class VerdictCache(CacheOf[Verdict]):
    """A cache of the verdicts on code snippets."""

    def __init__(self, directory: str | Path | None = None):
        super().__init__(directory, Verdict, FILE_NAME)


def _open(path: Path) -> sqlite3.Connection:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"cache_dir must be a directory that can be written: {error}") from error
    try:
        return _connect(path)
    except sqlite3.OperationalError as error:
        if _is_locked(error):
            raise ValueError(
                f"the cache of verdicts is in use by another process, and was locked for {LOCK_SECONDS:.0f} seconds: "
                f"{path}: {error}. Wait for that process, or give another cache_dir"
            ) from error
        raise ValueError(f"cache_dir must be a directory that can be written: {path}: {error}") from error
    except sqlite3.DatabaseError as error:
        _rename_damaged(path, error, stacklevel=5)
        return _connect(path)


def _rename_damaged(path: Path, error: Exception, stacklevel: int):
    renamed = path.with_name(f"{path.name}.unreadable-{time.time_ns()}")
    path.rename(renamed)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    message = f"{path} is damaged ({error}); it was renamed to {renamed.name}, and a new cache is used"
    warnings.warn(message, stacklevel=stacklevel)


def _connect(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=LOCK_SECONDS, check_same_thread=False)
    try:
        # Readers do not wait for writers, and a process that is killed leaves an intact file.
        _use_write_ahead_log(database)
        database.execute("PRAGMA synchronous=NORMAL")
        database.execute("CREATE TABLE IF NOT EXISTS verdicts (key BLOB PRIMARY KEY, verdict TEXT) WITHOUT ROWID")
        database.commit()
    except sqlite3.Error:
        database.close()
        raise
    return database


def _use_write_ahead_log(database: sqlite3.Connection):
    end = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            database.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            # While another process creates the file, SQLite may refuse this change at once, whatever the timeout.
            if not _is_locked(error) or time.monotonic() > end:
                raise
            time.sleep(0.01)


def _is_locked(error: sqlite3.OperationalError) -> bool:
    return error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
