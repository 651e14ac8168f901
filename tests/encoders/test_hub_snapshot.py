"""A hub that does not answer costs seconds, and then the cache is asked."""

from __future__ import annotations

import logging
import socket
import time
from pathlib import Path

import pytest

from iisan.encoders import hub_snapshot as room
from iisan.encoders.hub_snapshot import hub_snapshot
from iisan.errors import UserError

COMMIT = "0123456789" * 4


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache that has one model."""
    model = tmp_path / "models--org--known"
    (model / "refs").mkdir(parents=True)
    (model / "refs" / "main").write_text(COMMIT)
    (model / "snapshots" / COMMIT).mkdir(parents=True)
    (model / "snapshots" / COMMIT / "config.json").write_text("{}")
    return tmp_path


@pytest.mark.parametrize("hub", ["closed", "silent", "offline"])
def test_the_cache_is_taken_where_the_hub_does_not_answer(
    cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, hub: str
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", hub == "offline")
    monkeypatch.setattr(room, "HUB_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = 9 if hub == "closed" else listener.getsockname()[1]
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{port}")
        started = time.monotonic()
        with caplog.at_level(logging.WARNING, logger="iisan"):
            folder = hub_snapshot("org/known", revision=None, allow_patterns=["*.json"], cache_dir=cache)
        with pytest.raises(UserError, match=r"org/unknown: neither a folder nor a model that can be had.*the network"):
            hub_snapshot("org/unknown", revision=None, allow_patterns=["*.json"], cache_dir=cache)
        assert time.monotonic() - started < 5
    assert folder == cache / "models--org--known" / "snapshots" / COMMIT
    assert "taken from the cache" in caplog.text


def test_what_is_no_hub_id(cache: Path) -> None:
    with pytest.raises(UserError, match=r"no hub id.*give org/name or a folder"):
        hub_snapshot("no such folder!", revision=None, allow_patterns=["*.json"], cache_dir=cache)
