from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from iisan.data import Dataset, DelimitedImport, import_delimited
from iisan.data.staging import staged_folder
from iisan.errors import UserError

Snapshot = Callable[[Path], dict[str, bytes]]


def config(shop: Path, *, overwrite: bool = False, name: str = "x") -> DelimitedImport:
    return DelimitedImport(
        items=shop / "items.csv",
        interactions=shop / "interactions.csv",
        image_column="image",
        overwrite=overwrite,
        name=name,
    )


# Kills itself when the pictures have been copied and the tables have not been written.
KILLED = """
import os, signal, sys
from pathlib import Path
from iisan.data import DelimitedImport, import_delimited
def progress(done, total, label):
    if label == "image files":
        os.kill(os.getpid(), signal.SIGKILL)
shop, overwrite = Path(sys.argv[1]), sys.argv[2] == "overwrite"
config = DelimitedImport(items=shop / "items.csv", interactions=shop / "interactions.csv", image_column="image",
                         overwrite=overwrite, name="killed")
import_delimited(config, shop / "out", progress)
"""


def kill_an_import(shop: Path, mode: str) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(shop), mode], check=False)
    assert done.returncode == -signal.SIGKILL


def test_a_killed_import_leaves_no_dataset_and_the_next_one_cleans_up(shop: Path) -> None:
    before = {path.name for path in shop.iterdir()}
    kill_an_import(shop, "new")
    assert not (shop / "out").exists()
    assert {path.name for path in shop.iterdir()} > before
    import_delimited(config(shop), shop / "out").verify()
    assert {path.name for path in shop.iterdir()} == before | {"out"}


def test_a_killed_replacement_leaves_the_old_dataset(shop: Path, snapshot: Snapshot) -> None:
    import_delimited(config(shop), shop / "out")
    before = snapshot(shop / "out")
    kill_an_import(shop, "overwrite")
    assert snapshot(shop / "out") == before
    assert import_delimited(config(shop, overwrite=True, name="new"), shop / "out").name == "new"
    assert not [path for path in shop.iterdir() if path.name.startswith(".")]


def test_a_kill_between_the_two_renames_is_mended(shop: Path) -> None:
    import_delimited(config(shop, name="old"), shop / "out")
    (shop / "out").rename(shop / ".out.old")
    with pytest.raises(UserError, match="exists already"):
        import_delimited(config(shop), shop / "out")
    assert Dataset.open(shop / "out").name == "old"


def test_replacing_needs_leave(shop: Path, snapshot: Snapshot) -> None:
    import_delimited(config(shop), shop / "out")
    before = snapshot(shop / "out")
    with pytest.raises(UserError, match="exists already"):
        import_delimited(config(shop, name="other"), shop / "out")
    assert snapshot(shop / "out") == before
    assert import_delimited(config(shop, overwrite=True, name="other"), shop / "out").name == "other"


def test_a_failed_replacement_leaves_the_old_dataset(shop: Path, snapshot: Snapshot) -> None:
    import_delimited(config(shop), shop / "out")
    before = snapshot(shop)
    (shop / "pictures" / "2.png").unlink()
    del before["pictures/2.png"]
    with pytest.raises(UserError, match="item 'c'"):
        import_delimited(config(shop, overwrite=True), shop / "out")
    assert snapshot(shop) == before


def test_other_folders_are_never_replaced(shop: Path, snapshot: Snapshot) -> None:
    (shop / "precious").mkdir()
    (shop / "precious" / "thesis.txt").write_text("years of work")
    before = snapshot(shop)
    for output, words in ((shop / "precious", "not a dataset"), (shop / "items.csv", "not a folder")):
        with pytest.raises(UserError, match=words):
            import_delimited(config(shop, overwrite=True), output)
    (shop / "link").symlink_to(shop / "precious")
    with pytest.raises(UserError, match="not a folder"):
        import_delimited(config(shop, overwrite=True), shop / "link")
    (shop / "link").unlink()
    assert snapshot(shop) == before


def test_an_empty_folder_may_be_filled(shop: Path) -> None:
    (shop / "out").mkdir()
    import_delimited(config(shop), shop / "out").verify()


def test_one_writer_at_a_time(shop: Path) -> None:
    with (
        staged_folder(shop / "out", overwrite=False) as folder,
        pytest.raises(UserError, match="another import is writing"),
    ):
        import_delimited(config(shop), shop / "out")
    assert not folder.exists()
    assert not [path for path in shop.iterdir() if path.name.startswith(".")]


def test_an_interrupt_leaves_nothing(shop: Path) -> None:
    def interrupt(done: int, total: int | None, label: str) -> None:
        if label == "image files":
            raise KeyboardInterrupt

    before = sorted(shop.iterdir())
    with pytest.raises(KeyboardInterrupt):
        import_delimited(config(shop), shop / "out", interrupt)
    assert sorted(shop.iterdir()) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_place_that_cannot_be_written_to(shop: Path) -> None:
    shop.chmod(0o500)
    try:
        with pytest.raises(UserError, match="cannot be written"):
            import_delimited(config(shop), shop / "out")
    finally:
        shop.chmod(0o700)


def test_a_place_below_a_file(shop: Path) -> None:
    with pytest.raises(UserError, match="cannot be written"):
        import_delimited(config(shop), shop / "items.csv" / "out")
