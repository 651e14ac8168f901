"""Being interrupted: by Ctrl-C, or by SIGTERM, which containers and batch systems send before they kill."""

from __future__ import annotations

import signal
import sys
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

# Added to the number of the signal, as shells do.
OF_A_SIGNAL = 128
# Until an interruption that was lost comes again.
AGAIN_SECONDS = 0.01


class Interruptions:
    """While entered, both signals raise KeyboardInterrupt in the main thread, and none of them is lost.

    An exception that is raised while Python runs a finaliser is printed and dropped; a signal at such a moment would go
    by without effect. It is sent again. After it both are ignored: the work is over, and what comes while the
    interpreter shuts down must not change the exit code that says how it went.
    """

    def __init__(self) -> None:
        self._received = signal.SIGINT

    @property
    def exit_code(self) -> int:
        """What a shell reports of a program that the last signal ended."""
        return OF_A_SIGNAL + self._received

    def __enter__(self) -> Self:
        self._hook = sys.unraisablehook
        sys.unraisablehook = self._unraisable
        signal.signal(signal.SIGTERM, self._terminate)
        if hasattr(signal, "setitimer"):
            signal.signal(signal.SIGALRM, signal.default_int_handler)
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, signal.SIG_IGN)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        sys.unraisablehook = self._hook

    def _terminate(self, number: int, frame: FrameType | None) -> None:
        self._received = signal.SIGTERM
        raise KeyboardInterrupt

    def _unraisable(self, lost: UnraisableHookArgs) -> None:
        if lost.exc_type is KeyboardInterrupt and hasattr(signal, "setitimer"):
            # Not at once: it would be raised, and lost, in this very function.
            signal.setitimer(signal.ITIMER_REAL, AGAIN_SECONDS)
        else:
            self._hook(lost)
