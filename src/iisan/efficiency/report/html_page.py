"""An HTML page that needs nothing else, in light or dark as the reader's system is set."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from iisan.efficiency.report.plots.palette import Tone, tones


def html_page(title: str, style: str, sections: Iterable[str], *, policy: str | None = None) -> str:
    """The text of the file.

    Args:
        title: Of the page, and its heading; plain text.
        style: CSS, which finds the colours of the plots as variables.
        sections: HTML of the page, part by part.
        policy: What the page may load and run, as a Content-Security-Policy; None for no such bounds.
    """
    name = escape(title)
    bounds = [] if policy is None else [f'<meta http-equiv="Content-Security-Policy" content="{policy}">']
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            *bounds,
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f"<title>{name}</title>",
            f"<style>\n{_colours()}{style}</style>",
            "</head>",
            "<body>",
            "<main>",
            f"<h1>{name}</h1>",
            *sections,
            "</main>",
            "</body>",
            "</html>\n",
        ]
    )


def section(title: str, content: str) -> str:
    """One part of a page: a heading of plain text, and HTML."""
    return f"<section>\n<h2>{escape(title)}</h2>\n{content}\n</section>"


def bullets(lines: Iterable[str]) -> str:
    """A list of plain texts."""
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"


def _colours() -> str:
    found = tones()
    light, dark = (_variables(found, tone) for tone in ("light", "dark"))
    return f":root {{ {light} }}\n@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}\n"


def _variables(found: dict[str, Tone], tone: str) -> str:
    return " ".join(f"--{role}: {getattr(colours, tone)};" for role, colours in found.items())
