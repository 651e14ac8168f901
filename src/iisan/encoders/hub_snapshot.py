"""Files of a model on the Hugging Face hub: from there, or from the cache where it cannot be asked."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from iisan.errors import UserError

logger = logging.getLogger(__name__)

# The library's own first question has no limit: behind a firewall that drops packets it would wait for ever.
HUB_SECONDS = 10.0


def hub_snapshot(
    name: str,
    *,
    revision: str | None,
    allow_patterns: Sequence[str],
    ignore_patterns: Sequence[str] = (),
    cache_dir: str | Path | None = None,
    force_download: bool = False,
    local_files_only: bool = False,
    token: str | bool | None = None,
    otherwise: str = "",
) -> Path:
    """Downloads what the cache lacks.

    Args:
        name: ``org/name``.
        revision: Branch, tag or commit; None for ``main``.
        allow_patterns: Files to take.
        ignore_patterns: Files to leave of these.
        cache_dir: Folder of the hub's cache.
        force_download: Download again what is in the cache.
        local_files_only: Do not ask the hub.
        token: For a private model; that of ``hf auth login`` by default.
        otherwise: What else one can do where the hub cannot be asked, for the message.

    Returns:
        A folder of the cache, named by the commit.

    Raises:
        UserError: There is no such model or revision, or the hub cannot be asked and the cache lacks it.
    """
    from huggingface_hub import snapshot_download

    where = f"{name} (revision {revision})" if revision else name
    failed = None if local_files_only else _why_not(name, revision, token)
    try:
        folder = snapshot_download(
            name,
            revision=revision,
            allow_patterns=list(allow_patterns),
            ignore_patterns=list(ignore_patterns),
            cache_dir=cache_dir,
            force_download=force_download,
            local_files_only=local_files_only or failed is not None,
            token=token,
            tqdm_class=None,
        )
    except Exception as error:  # The library's HTTP client has errors of its own, which changed before.
        raise _explained(failed or error, where, otherwise) from error
    if failed is not None:
        logger.warning("%s: taken from the cache, for the hub cannot be asked (%s)", where, _first_line(failed))
    return Path(folder)


def _why_not(name: str, revision: str | None, token: str | bool | None) -> Exception | None:
    """What is in the way of asking the hub, None where it answers."""
    from huggingface_hub import HfApi

    try:
        HfApi().model_info(name, revision=revision, timeout=HUB_SECONDS, token=token)
    except Exception as error:  # As above; the cache may still have the model.
        return error
    return None


def _explained(error: Exception, where: str, otherwise: str) -> UserError:
    from huggingface_hub import errors

    said: dict[type[Exception], tuple[str, str]] = {
        errors.GatedRepoError: (
            "the model is gated on the Hugging Face hub",
            "accept its terms on huggingface.co and log in with `hf auth login`",
        ),
        errors.RepositoryNotFoundError: (
            "neither a folder nor a model on the Hugging Face hub",
            "check the spelling; a private model needs `hf auth login`",
        ),
        errors.RevisionNotFoundError: ("the model has no such revision", "see its branches and tags on the hub"),
        errors.HFValidationError: (
            f"neither a folder nor a model: no hub id ({_first_line(error)})",
            "give org/name or a folder",
        ),
    }
    for kind, (what, how) in said.items():
        if isinstance(error, kind):
            return UserError(what, where=where, how=how)
    return UserError(
        f"neither a folder nor a model that can be had: it is not in the cache, and the hub cannot be asked "
        f"({_first_line(error)})",
        where=where,
        how=f"check the path or the network, or give a local folder{otherwise}",
    )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0].strip() or type(error).__name__
