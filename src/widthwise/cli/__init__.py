"""The command line. Bad input is one line on stderr and exit status 2; nothing is half written."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import Sequence

import typer

from widthwise.cli.root import app
from widthwise.errors import DataWarning, InputError, MissingExtra, NumericalError

__all__ = ["app", "main", "run"]

OK, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit status: 0, 1 (no trustworthy number), 2 (bad input) or 130 (interrupted).

    Args:
        arguments: what follows `widthwise` on the command line.
    """
    command = typer.main.get_command(app)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", DataWarning)
            status = command.main(args=list(arguments) or ["--help"], prog_name="widthwise", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        status = INTERRUPTED
    except (InputError, MissingExtra) as error:
        return _say(str(error), BAD_INPUT)
    except NumericalError as error:
        return _say(str(error), FAILED)
    except OverflowError as error:
        return _say(f"expected numbers that fit double precision, got a larger one ({error}); use smaller.", BAD_INPUT)
    except MemoryError as error:
        return _say(f"expected a problem that fits in memory, got {error}; use fewer examples or features.", FAILED)
    except BrokenPipeError:  # the reader of our output has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except OSError as error:
        return _say(f"expected output that can be written, got {error.strerror or error}; check the disk.", FAILED)
    except Exception as error:
        if hasattr(error, "format_message"):  # the parser's own complaints
            return _say(f"{error.format_message().rstrip('. ')}; see `widthwise --help`.", BAD_INPUT)
        if os.environ.get("WIDTHWISE_TRACEBACK"):
            raise
        what = f"{type(error).__name__}: {error}"
        return _say(f"a fault of ours: {what}; set WIDTHWISE_TRACEBACK=1 to see where, and report it.", FAILED)
    if status == INTERRUPTED:
        return _say("interrupted; nothing was written.", INTERRUPTED)
    for message in dict.fromkeys(str(w.message) for w in caught):
        _say(f"note: {message}", OK)
    return status if isinstance(status, int) else OK


def _say(message: str, status: int) -> int:
    """One line on stderr."""
    sys.stderr.write(f"widthwise: {' '.join(message.split())}\n")
    return status


def _interrupt(signal_number: int, frame: object) -> None:
    """Ends the process at once: compiled code may swallow a KeyboardInterrupt, and is not safe to unwind."""
    os.write(2, b"widthwise: interrupted; nothing was written.\n")
    os._exit(INTERRUPTED)


def main() -> None:
    """The `widthwise` command."""
    signal.signal(signal.SIGINT, _interrupt)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without Greek letters is no reason to fail
    sys.exit(run(sys.argv[1:]))
