"""A figure as an SVG element inside an HTML page."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from iisan.efficiency.report.plots.palette import stand_ins

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SVG = "http://www.w3.org/2000/svg"
_LINK = "{http://www.w3.org/1999/xlink}href"
_COLOUR = re.compile(r"#[0-9a-f]{6}\b")
_FONT = re.compile(r"font-family:[^;]*;?\s*")


def inline_svg(figure: Figure, label: str, prefix: str) -> str:
    """Draws a figure as an element that takes its colours and font from the page and scales to the width it is given.

    Args:
        figure: What to draw.
        label: What it shows, for those who do not see it.
        prefix: Makes the ids inside differ from those of the page's other drawings.
    """
    file = io.BytesIO()
    figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    root = ElementTree.fromstring(file.getvalue())  # noqa: S314 (written a line above)
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in {f"{{{_SVG}}}style", f"{{{_SVG}}}metadata"}:
                parent.remove(child)
    referred = _referred(root)
    for element in root.iter():
        _localise(element, prefix, referred)
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    root.set("role", "img")
    root.set("aria-label", label)
    return _text(root)


def _referred(root: ElementTree.Element) -> set[str]:
    """Ids that something inside points to; the others say nothing in a page."""
    values = [value for element in root.iter() for value in element.attrib.values()]
    return {match for value in values for match in re.findall(r"(?:^|url\()#([\w.-]+)", value)}


def _localise(element: ElementTree.Element, prefix: str, referred: set[str]) -> None:
    name = element.attrib.pop("id", None)
    if name in referred:
        element.set("id", f"{prefix}-{name}")
    link = element.attrib.pop(_LINK, None)
    if link is not None:
        element.set("href", link.replace("#", f"#{prefix}-"))
    if "clip-path" in element.attrib:
        element.set("clip-path", element.attrib["clip-path"].replace("url(#", f"url(#{prefix}-"))
    if "style" in element.attrib:
        element.set("style", _in_page(element.attrib["style"]))


def _in_page(style: str) -> str:
    colours = stand_ins()
    return _COLOUR.sub(lambda match: colours.get(match.group(), match.group()), _FONT.sub("", style))


def _text(root: ElementTree.Element) -> str:
    for element in root.iter():
        element.tag = element.tag.removeprefix(f"{{{_SVG}}}")
        element.tail = None if not (element.tail or "").strip() else element.tail
        if not (element.text or "").strip():
            element.text = None
    # HTML knows the namespace of svg by its name.
    return ElementTree.tostring(root, encoding="unicode")
