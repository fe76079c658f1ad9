"""The ``nas`` command: it parses, calls the public functions and prints."""

from __future__ import annotations

import errno
import sys
import traceback
from collections.abc import Sequence

from nas.neighbours import stranger


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status: 0, 2 for a user's mistake, 1 for a fault of ours.

    ``nas`` on the shell calls it with the process's own arguments and exits with the status.
    """
    hidden = stranger()
    if hidden is not None:
        return _refuse(hidden)
    from nas.progress import speaks
    from search_spaces import UserError

    try:
        return _run(list(sys.argv[1:] if arguments is None else arguments))
    except UserError as error:
        return _refuse(str(error))
    except KeyboardInterrupt:
        print("nas: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 141
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return _refuse(
                "the disk is full; free space, then go on with --resume: what was written is whole"
            )
        if error.filename is None:
            traceback.print_exc()
            return 1
        return _refuse(f"{error.filename}: {error.strerror}")
    except Exception as error:
        kind = type(error).__name__
        if kind == "Stopped":
            if speaks():
                print(f"nas: {error}", file=sys.stderr)
            return int(getattr(error, "exit_code", 1))
        if kind in ("OutOfMemoryError", "MemoryError"):
            return _refuse(
                "out of memory; lower search.batch_size or the batch_size of the step (or set its "
                "accumulate), or the space's resolution"
            )
        traceback.print_exc()
        return 1


def _run(arguments: list[str]) -> int:
    import typer

    from nas.cli.app import app

    try:
        status = typer.main.get_command(app).main(arguments, prog_name="nas", standalone_mode=False)
    except typer.Abort:
        return 130
    except Exception as error:
        # typer carries its own copy of click, whose exceptions have no public name
        if any(c.__name__ == "ClickException" for c in type(error).__mro__):
            return _refuse(error.format_message())  # type: ignore[attr-defined]
        raise
    return status if isinstance(status, int) else 0


def _refuse(message: str) -> int:
    print("nas: " + " ".join(message.split()), file=sys.stderr)
    return 2
