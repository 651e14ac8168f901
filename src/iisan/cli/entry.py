"""Where the program starts: ready to be interrupted before the libraries, which take seconds, are imported."""

from __future__ import annotations

import sys

from iisan.cli.interruptions import Interruptions


def main() -> None:
    """Runs the command line: bad input is one line and exit code 2, an interruption one line and 130 (SIGTERM: 143)."""
    interruptions = Interruptions()
    try:
        with interruptions:
            # Not at the top: an interruption during this import would be a traceback.
            from iisan.cli.app import run

            code = run()
    except KeyboardInterrupt:
        print("interrupted; what was committed stays, and the same command goes on or starts again", file=sys.stderr)
        code = interruptions.exit_code
    sys.exit(code)
