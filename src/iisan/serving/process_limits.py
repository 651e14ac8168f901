"""Bounds that the system keeps for a process: memory, processor time, files."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

logger = logging.getLogger(__name__)

HAS_LIMITS = sys.platform != "win32"
if sys.platform != "win32":
    import resource


def leave_no_core() -> None:
    """A process that crashes leaves no copy of its memory, which holds what others sent."""
    _set("RLIMIT_CORE", 0)


def bound_decoding(memory: int, files: int) -> None:
    """Little memory, few open files, and none that can be written.

    Args:
        memory: Bytes of address space beyond what the process has now.
        files: Most open files.
    """
    leave_no_core()
    _set("RLIMIT_AS", _address_space() + memory)
    _set("RLIMIT_FSIZE", 0)
    _set("RLIMIT_NOFILE", files)


def bound_next_seconds(seconds: int) -> None:
    """The process is ended when it has used so many processor seconds more; to be called again before they are up."""
    if sys.platform == "win32":
        return
    usage = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(usage.ru_utime + usage.ru_stime) + seconds + 1, hard))


def _set(name: str, value: int) -> None:
    if sys.platform == "win32":
        logger.warning("this system has no %s; the process runs without that bound", name)
        return
    kind = getattr(resource, name)
    _, hard = resource.getrlimit(kind)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    try:
        resource.setrlimit(kind, (value, value))
    except (OSError, ValueError) as error:  # macOS keeps no bound on the address space.
        logger.warning("%s cannot be set (%s); the process runs without that bound", name, error)


def _address_space() -> int:
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    except (OSError, ValueError, IndexError):
        return 1 << 30
