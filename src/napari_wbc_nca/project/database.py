"""SQLite database of an annotation project: schema, versions, locks, and one writing thread."""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from itertools import count
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

from filelock import FileLock, Timeout

from napari_wbc_nca.io._files import write_reason

T = TypeVar("T")

FILE = "project.sqlite"
"""Name of the database in the folder of a project."""
APPLICATION_ID = 0x57424341
"""``PRAGMA application_id`` of our databases, "WBCA"."""
_SCHEMA = """
CREATE TABLE images (
    id INTEGER PRIMARY KEY,
    path TEXT NOT NULL,            -- relative to the project's folder where it lies below or beside
    sha256 TEXT NOT NULL,
    pixel_size REAL,
    reviewed TEXT                  -- when its review was finished, UTC; NULL before
);
CREATE UNIQUE INDEX image_hashes ON images (sha256);
CREATE TABLE layers (
    id INTEGER PRIMARY KEY,
    image INTEGER NOT NULL REFERENCES images (id),
    name TEXT NOT NULL,
    shape TEXT NOT NULL,           -- JSON
    run TEXT NOT NULL,             -- JSON record of the run that made it; {} where drawn by hand
    rows TEXT NOT NULL,            -- JSON: label to its row in the table of cells, before any edit
    head INTEGER NOT NULL DEFAULT 0,   -- last edit that is applied, 0 none
    tip INTEGER NOT NULL DEFAULT 0,    -- edit up to which redo goes
    created TEXT NOT NULL,
    UNIQUE (image, name)
);
CREATE TABLE snapshots (           -- the labels of a layer before any edit, in bands of rows
    layer INTEGER NOT NULL REFERENCES layers (id),
    band INTEGER NOT NULL,
    labels BLOB NOT NULL,
    PRIMARY KEY (layer, band)
);
CREATE TABLE edits (
    id INTEGER PRIMARY KEY,
    layer INTEGER NOT NULL REFERENCES layers (id),
    parent INTEGER NOT NULL,       -- edit that it follows, 0 none: undone branches are kept
    kind TEXT NOT NULL,
    rows TEXT NOT NULL,            -- JSON: label to [row before, row after]
    reviewer TEXT NOT NULL,
    time TEXT NOT NULL
);
CREATE TABLE regions (             -- what an edit changed of the pixels
    edit INTEGER NOT NULL REFERENCES edits (id),
    plane TEXT NOT NULL,           -- JSON: position on the leading axes
    y INTEGER NOT NULL,
    x INTEGER NOT NULL,
    height INTEGER NOT NULL,
    width INTEGER NOT NULL,
    before BLOB NOT NULL,
    after BLOB NOT NULL
);
CREATE INDEX edit_regions ON regions (edit);
CREATE TABLE transactions (        -- every edit, undo and redo, in order
    id INTEGER PRIMARY KEY,
    layer INTEGER NOT NULL REFERENCES layers (id),
    action TEXT NOT NULL,
    head INTEGER NOT NULL,
    time TEXT NOT NULL
);
CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);  -- JSON; classes of LAYER
"""
MIGRATIONS = (_SCHEMA,)
"""Script `n` brings a database from version `n` to version `n + 1`."""


_POLL, _RETRY = 0.1, 2.0
"""Seconds between looks at a job, and between tries to write on a full disk."""
_PASSING = ("SQLITE_FULL",)
"""Errors of SQLite that pass without the project being opened again."""
_ROOM = 2**16
"""Bytes below which a disk counts as full: a new database takes as much."""
_DAMAGED = ("SQLITE_CORRUPT", "SQLITE_NOTADB")
"""Errors of SQLite that say that the file is no database, or not a whole one."""


class ProjectError(ValueError):
    """A project that cannot be used; says which, why, and what to do."""


class Database:
    """One open database of a project, locked against other programs.

    Every write is a job of one thread, in the order in which they were asked for; each job is one
    transaction. WAL keeps what was committed when the program is killed.

    Parameters
    ----------
    folder
        Of the project.
    create
        Make a new database where there is none; an existing one is never replaced.

    Raises
    ------
    ProjectError
        For a folder without a project, a project that is open elsewhere, was made by a newer
        version, is damaged, or lies where nothing can be written.
    """

    def __init__(self, folder: Path, create: bool = False) -> None:
        self.folder, self.path = folder, folder / FILE
        if not self.path.exists() and not create:
            raise ProjectError(
                f"{folder} holds no annotation project ({FILE}); choose the folder of a project, "
                "or start a new one there"
            )
        if not os.access(folder, os.W_OK) or (
            self.path.exists() and not os.access(self.path, os.W_OK)
        ):
            raise ProjectError(
                f"{self.path} cannot be written to; ask for the right to write there, or copy the "
                "project's folder to a place of your own and open the copy"
            )
        self._lock = FileLock(folder / "project.lock", timeout=0, thread_local=False)
        try:
            self._lock.acquire()
        except Timeout:
            raise ProjectError(
                f"{self.path} is open in another napari or command; close it there first"
            ) from None
        except OSError as error:
            raise ProjectError(
                f"{self.path} cannot be written: {write_reason(error, folder)}"
            ) from error
        try:
            self._reader = self._connect()
            self._prepare()
            ((last,),) = self.query("SELECT coalesce(max(id), 0) FROM edits")
        except sqlite3.Error as error:
            self._lock.release()
            raise self._unwritten(error) from error
        except BaseException:
            self._lock.release()
            raise
        self._status = self.path.stat()
        self._handle = os.open(folder, os.O_RDONLY) if os.name == "posix" else None
        self._moved = False
        self._numbers = count(last + 1)
        self._jobs: SimpleQueue[tuple[Callable[[Any], Any], Future[Any]] | None] = SimpleQueue()
        self.failure: BaseException | None = None
        self.on_failure: Callable[[BaseException], object] = lambda _: None
        self._waiting = False
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._write, name="project", daemon=True)
        self._thread.start()

    def next_edit(self) -> int:
        """Return the number of a new edit, larger than all before it."""
        number: int = next(self._numbers)
        return number

    def submit(self, job: Callable[[sqlite3.Connection], T]) -> Future[T]:
        """Run `job` in a transaction on the writing thread, after all jobs before it.

        While the disk is full, jobs wait in memory and are tried again. Once a job has failed for
        another reason, later ones fail with the same error: a journal has no gaps.
        """
        future: Future[T] = Future()
        self._jobs.put((job, future))
        return future

    def flush(self) -> None:
        """Wait until everything that was submitted is committed.

        Raises
        ------
        ProjectError
            When it could not be written.
        """
        self.wait(self.submit(lambda _: None))

    def wait(self, future: Future[T]) -> T:
        """Wait for a job of :meth:`submit`; raises the reason where it cannot be written now."""
        while True:
            try:
                return future.result(timeout=_POLL)
            except TimeoutError:
                if self.failure is not None:
                    raise self.failure from None

    def query(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a query, of what is committed."""
        return self._reader.execute(sql, values).fetchall()

    def close(self) -> None:
        """Write what is waiting, and let go of the project; a second call does nothing."""
        if self._thread.is_alive():
            self._closing.set()
            self._jobs.put(None)
            self._thread.join()
            self._reader.close()
            self._lock.release()
            if self._handle is not None:
                os.close(self._handle)

    def in_place(self) -> bool:
        """Return whether the database lies where it was opened."""
        try:
            return os.path.samestat(self.path.stat(), self._status)
        except OSError:
            return False

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA foreign_keys = ON")
        except sqlite3.DatabaseError as error:
            connection.close()
            raise self._unopened(error) from error
        return connection

    def _prepare(self) -> None:
        """Check whose database it is, and bring it to the version of this program."""
        try:
            ((application,),) = self.query("PRAGMA application_id")
            ((version,),) = self.query("PRAGMA user_version")
            tables = self.query("SELECT name FROM sqlite_master")
            ((state,),) = self.query("PRAGMA quick_check(1)")
        except sqlite3.DatabaseError as error:
            raise self._unopened(error) from error
        if state != "ok":
            raise self._damaged(state)
        if tables and application != APPLICATION_ID:
            raise ProjectError(
                f"{self.path} is a database of another program; choose another folder"
            )
        if version > len(MIGRATIONS):
            raise ProjectError(
                f"{self.path} has version {version}, this program knows versions up to "
                f"{len(MIGRATIONS)}; install the newest napari-wbc-nca to open it"
            )
        if tables and version < len(MIGRATIONS):
            self._back_up(self.path.with_name(f"project-version-{version}.sqlite"))
        for number in range(version, len(MIGRATIONS)):
            self._reader.executescript(
                f"BEGIN; {MIGRATIONS[number]} PRAGMA application_id = {APPLICATION_ID};"
                f"PRAGMA user_version = {number + 1}; COMMIT;"
            )

    def _back_up(self, target: Path) -> None:
        """Copy the database before it is migrated."""
        copy = sqlite3.connect(target)
        with copy:
            self._reader.backup(copy)
        copy.close()

    def _unopened(self, error: sqlite3.DatabaseError) -> BaseException:
        """Say why it cannot be opened: damaged, unless its disk is full and the like."""
        damaged = self._kind(error) in _DAMAGED
        return self._damaged(error) if damaged else self._unwritten(error)

    def _damaged(self, why: object) -> ProjectError:
        return ProjectError(
            f"{self.path} is damaged ({why}); put back a copy of the project's folder from a "
            "backup, or start a new project in another folder with the corrected label images "
            "that lie beside it"
        )

    def _write(self) -> None:
        connection = self._connect()
        while (item := self._jobs.get()) is not None:
            job, future = item
            try:
                result = self._commit(connection, job)
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(result)
        connection.close()

    def _commit(self, connection: sqlite3.Connection, job: Callable[[Any], Any]) -> Any:
        """Run a job as one transaction, again and again while the disk is full."""
        while True:
            if self.failure is not None and not self._waiting:
                raise self.failure
            try:
                self._check_place()
                connection.execute("BEGIN IMMEDIATE")
                result = job(connection)
                connection.execute("COMMIT")
            except BaseException as error:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                self.failure = self._unwritten(error)
                self._waiting = self._kind(error) in _PASSING
                self.on_failure(self.failure)
                if not self._waiting or self._closing.is_set():
                    raise self.failure from error
                self._closing.wait(_RETRY)
            else:
                self.failure, self._waiting = None, False
                return result

    def _check_place(self) -> None:
        """Report that the project was moved, which SQLite writes to there; fail if it is gone."""
        moved, was_moved = not self.in_place(), self._moved
        self._moved = moved
        if not moved or was_moved:
            return
        if self._handle is None or not os.fstat(self._handle).st_nlink:
            raise ProjectError(
                f"{self.folder} was deleted, or moved to another disk, while it was open; save the "
                "layer (File ▸ Save Selected Layers), close the image, put the folder back, and "
                "open the image again"
            )
        self.on_failure(
            ProjectError(
                f"{self.folder} was moved while it was open; corrections are written to where it "
                "is now. Put it back beside its image, or open it there later by Review the "
                "images of a folder ▸ Open project…"
            )
        )

    def _kind(self, error: BaseException) -> str:
        """Return SQLite's name of an error; on a full disk it does not always say so."""
        name = str(getattr(error, "sqlite_errorname", ""))
        full = name.startswith(("SQLITE_IOERR", "SQLITE_CANTOPEN")) and (
            shutil.disk_usage(self.folder).free < _ROOM
        )
        return "SQLITE_FULL" if full else name

    def _unwritten(self, error: BaseException) -> BaseException:
        if not isinstance(error, sqlite3.Error):
            return error
        remedy = {
            "SQLITE_FULL": "make room on its disk; corrections wait in memory until there is room",
            "SQLITE_BUSY": "close the program that uses it, then open the project again",
        }.get(self._kind(error), "check its disk, then open the project again")
        return ProjectError(f"{self.path} cannot be written: {error}; {remedy}")
