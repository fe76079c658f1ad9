"""Reaching an Optuna database, and waiting for one that is away."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import optuna
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError, ProgrammingError

from nas.urls import shown
from search_spaces import UserError
from search_spaces.errors import in_a_line

RETRY_SECONDS = (0.5, 1, 2, 4, 8, 15, 30, 60)
"""Pauses before a database that does not answer is asked again."""

T = TypeVar("T")


def sqlite_url(path: Path) -> str:
    """The URL of an SQLite file."""
    return f"sqlite:///{path.resolve()}"


def sqlite_path(url: str) -> Path | None:
    """The file of an SQLite URL, None for other databases.

    Raises:
        UserError: not a database URL.
    """
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError:
        raise UserError(f"{url!r} is no database URL, such as sqlite:///study.db") from None
    if parsed.get_backend_name() != "sqlite":
        return None
    return Path(parsed.database or "")


def storage(url: str) -> optuna.storages.RDBStorage:
    """Optuna's view of the database; makes its tables where they are missing.

    Raises:
        UserError: the database's driver is not installed.
    """
    try:
        return optuna.storages.RDBStorage(url, engine_kwargs=_options(url))
    except ImportError as error:
        raise UserError(f"{shown(url)}: the database's driver is missing ({error})") from None


def engine(url: str) -> sa.Engine:
    """Our own view of the database.

    SQLite keeps a write-ahead log: a commit then needs no disk flush, and no death of a process
    loses one.
    """
    made = sa.create_engine(url, **_options(url))
    if sqlite_path(url) is not None:

        @sa.event.listens_for(made, "connect")
        def configure(connection: Any, _: Any) -> None:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")

    return made


def patiently(action: Callable[[], T], url: str) -> T:
    """Repeat a whole transaction while the database does not answer.

    Raises:
        UserError: it stayed away (nothing is lost, the search can be resumed), the file is no
            database of ours, or its rows are not what a search writes.
    """
    for pause in (*RETRY_SECONDS, None):
        try:
            return action()
        except (DBAPIError, optuna.exceptions.StorageInternalError) as error:
            if isinstance(error, IntegrityError | ProgrammingError):
                raise damaged(url, error) from error
            reason = in_a_line(getattr(error, "orig", error.__cause__) or error)
            if sqlite_path(url) is not None and "locked" not in reason:
                raise UserError(f"{shown(url)}: cannot be used as a study ({reason})") from error
            if pause is None:
                raise UserError(
                    f"{shown(url)}: the database does not answer ({reason}); "
                    "when it does, go on with --resume"
                ) from error
            time.sleep(pause)
        except UserError:
            raise
        except DAMAGED as error:
            raise damaged(url, error) from error
    raise AssertionError


DAMAGED = (
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    RuntimeError,
    sa.exc.StatementError,
)
"""What comes of rows that were edited or lost."""


def damaged(url: str, error: Exception) -> UserError:
    """The refusal of a study that cannot be what a search wrote."""
    said = f"{type(error).__name__}: {in_a_line(error)}"
    return UserError(f"{shown(url)}: not a whole study, edited or damaged? ({said})")


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Optuna's greeting and its notes on experimental functions off standard error."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(level)


def _options(url: str) -> dict[str, Any]:
    if sqlite_path(url) is not None:
        return {"connect_args": {"timeout": 60}}
    return {"pool_pre_ping": True}
