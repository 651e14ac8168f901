"""Where the parts of the page are, by what a person reads or hears."""

from __future__ import annotations

from typing import Any


def strip(page: Any) -> Any:
    return page.get_by_role("list", name="History").get_by_role("listitem")


def cards(page: Any) -> Any:
    return page.get_by_role("list", name="Recommended next").get_by_role("listitem")


def found(page: Any) -> Any:
    return page.get_by_role("list", name="Catalogue").get_by_role("button")


def search_field(page: Any) -> Any:
    return page.get_by_role("searchbox", name="Search the catalogue by title")


def listed_ids(page: Any) -> list[str]:
    ids: list[str] = cards(page).evaluate_all("all => all.map(one => one.dataset.id)")
    return ids


def wait_for_list(page: Any, ids: list[str]) -> None:
    """Waits until exactly these items are recommended, in this order."""
    shown = "[...document.querySelectorAll('#list [data-id]')].map(one => one.dataset.id)"
    page.wait_for_function(f"ids => JSON.stringify({shown}) === JSON.stringify(ids)", arg=ids)
