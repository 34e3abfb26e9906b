"""Verdicts that were reached before: a bounded memory over one SQLite file that several processes may share."""

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

from evaluation.rust.verdict import Verdict

FILE_NAME = "verdicts.sqlite3"
KEYS_PER_QUERY = 500  # below SQLite's limit on the variables of one statement
MEMORY_ENTRIES = 20_000


def cache_key(code: bytes, question: dict, tests: str | None = None) -> bytes:
    """The key of a verdict: the code and all it depends on, which are flags, compiler, sandbox level and tests."""
    header = json.dumps([question, tests, len(code)], sort_keys=True).encode()
    return sha256(header + code).digest()


class VerdictCache:
    """Least recently used verdicts in memory, all of them on disk when there is a directory.

    A file that cannot be read as a database is put aside and a new one begun; when the disk is full or not writable,
    the cache says so once and goes on in memory. `unavailable` is never kept: it says nothing about the code.
    """

    def __init__(self, directory: str | Path | None = None):
        self._memory: OrderedDict[bytes, Verdict] = OrderedDict()
        self._lock = threading.Lock()
        self.path = None if directory is None else Path(directory) / FILE_NAME
        self._database = None if self.path is None else self._open()

    def _open(self) -> sqlite3.Connection:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(f"cache_dir must be a directory that can be written: {error}") from error
        try:
            return _connect(self.path)
        except sqlite3.OperationalError as error:
            raise ValueError(f"cache_dir must be a directory that can be written: {self.path}: {error}") from error
        except sqlite3.DatabaseError as error:
            self._put_aside(error)
            return _connect(self.path)

    def _put_aside(self, error: Exception):
        aside = self.path.with_name(f"{FILE_NAME}.unreadable-{time.time_ns()}")
        self.path.rename(aside)
        for suffix in ("-wal", "-shm"):
            self.path.with_name(FILE_NAME + suffix).unlink(missing_ok=True)
        warnings.warn(f"{self.path} is damaged ({error}); it is now {aside.name}, a new cache begins", stacklevel=4)

    def get(self, keys: Iterable[bytes]) -> dict[bytes, Verdict]:
        """The verdicts known for these keys, marked `cached`."""
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
                found |= self._read(missing)
        return found

    def _read(self, keys: list[bytes]) -> dict[bytes, Verdict]:
        found = {}
        for start in range(0, len(keys), KEYS_PER_QUERY):
            part = keys[start : start + KEYS_PER_QUERY]
            query = f"SELECT key, verdict FROM verdicts WHERE key IN ({','.join('?' * len(part))})"
            try:
                rows = self._database.execute(query, part).fetchall()
            except sqlite3.OperationalError as error:
                self._give_up(error)
                return found
            except sqlite3.DatabaseError as error:
                self._database.close()
                self._put_aside(error)
                self._database = _connect(self.path)
                return found
            for key, text in rows:
                try:
                    found[key] = replace(Verdict.from_dict(json.loads(text)), cached=True)
                except (ValueError, TypeError, KeyError):
                    continue  # written by another version: reached anew, and overwritten
                self._remember(key, found[key])
        return found

    def put(self, verdicts: dict[bytes, Verdict]):
        """Keeps the verdicts; one transaction."""
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
                self._give_up(error)

    def _remember(self, key: bytes, verdict: Verdict):
        self._memory[key] = verdict
        self._memory.move_to_end(key)
        if len(self._memory) > MEMORY_ENTRIES:
            self._memory.popitem(last=False)

    def _give_up(self, error: Exception):
        warnings.warn(f"The cache of verdicts goes on in memory only: {self.path}: {error}", stacklevel=4)
        self._database.close()
        self._database = None

    def __len__(self) -> int:
        """Verdicts on disk, or in memory when there is no disk."""
        with self._lock:
            if self._database is None:
                return len(self._memory)
            return self._database.execute("SELECT COUNT(*) FROM verdicts").fetchone()[0]

    def close(self):
        """Closes the file."""
        with self._lock:
            if self._database is not None:
                self._database.close()
                self._database = None


def _connect(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=30.0, check_same_thread=False)
    try:
        # A reader never waits for a writer, and a process that is killed leaves a whole file behind.
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=NORMAL")
        database.execute("CREATE TABLE IF NOT EXISTS verdicts (key BLOB PRIMARY KEY, verdict TEXT) WITHOUT ROWID")
        database.commit()
    except sqlite3.Error:
        database.close()
        raise
    return database
