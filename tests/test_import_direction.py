"""Imports between the rooms of the package go one way."""

from __future__ import annotations

import ast
from pathlib import Path

import iisan

ORDER = [
    "data",
    "encoders",
    "states",
    "models",
    "tuning",
    "training",
    "evaluation",
    "efficiency",
    "jobs",
    "serving",
    "demo",
    "cli",
]
FREE = {"errors", "__init__"}
PACKAGE = Path(iisan.__file__).parent


def rooms_imported(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the room they come from"
            names = [node.module or ""]
            if node.module == "iisan":
                names = [f"iisan.{alias.name}" for alias in node.names]
        found |= {parts[1] for name in names if (parts := name.split("."))[0] == "iisan" and len(parts) > 1}
    return found


def test_every_room_has_a_place_in_the_order() -> None:
    rooms = {path.name for path in PACKAGE.iterdir() if path.is_dir() and (path / "__init__.py").exists()}
    assert rooms <= set(ORDER)
    assert len(rooms) >= 7


def test_imports_go_one_way() -> None:
    wrong = []
    for path in sorted(PACKAGE.rglob("*.py")):
        room = path.relative_to(PACKAGE).parts[0]
        if room not in ORDER:
            continue
        for other in rooms_imported(path):
            if other in ORDER and ORDER.index(other) > ORDER.index(room):
                wrong.append(f"{path.relative_to(PACKAGE)} imports {other}")
    assert wrong == []


def test_only_known_modules_stand_outside_the_rooms() -> None:
    assert {path.stem for path in PACKAGE.glob("*.py")} <= FREE
