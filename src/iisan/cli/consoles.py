"""Where the command line writes: results to standard output, everything else to standard error.

Texts are shown as they are: a title may hold brackets or colons that rich would take for markup or an emoji.
"""

from __future__ import annotations

from rich.console import Console

messages = Console(stderr=True, markup=False, emoji=False, highlight=False)
results = Console(markup=False, emoji=False, highlight=False)
