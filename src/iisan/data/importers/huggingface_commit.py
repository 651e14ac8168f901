"""Looking a dataset up on the Hugging Face hub before `datasets` does: quickly, and with one clear line."""

from __future__ import annotations

from pathlib import Path

from iisan.data.importers.huggingface_card import CARD_FILES, check_card
from iisan.errors import UserError

# One request without retries: the downloads of `datasets` would try for half a minute.
HUB_SECONDS = 10


def hub_commit(name: str, revision: str | None) -> str | None:
    """The commit that a revision stands for; its card is checked.

    Args:
        name: Hub id.
        revision: Branch, tag or commit, or None for ``main``.

    Returns:
        The commit; None where ``HF_HUB_OFFLINE`` forbids to ask.

    Raises:
        UserError: There is no such dataset or revision, it may not be read, or the hub cannot be reached.
    """
    from huggingface_hub.errors import OfflineModeIsEnabled

    where = f"{name} (revision {revision})" if revision else name
    try:
        return _looked_up(name, revision)
    except OfflineModeIsEnabled:
        if revision is not None:
            how = "leave it out to take what is in the cache, or unset HF_HUB_OFFLINE"
            raise UserError("the cache cannot be asked for a revision", where=where, how=how) from None
        return None
    except UserError:
        raise
    except Exception as error:  # The HTTP client of huggingface_hub has errors of its own, which changed before.
        raise _explained(error, where) from error


def _looked_up(name: str, revision: str | None) -> str:
    from huggingface_hub import HfApi, hf_hub_download

    info = HfApi().dataset_info(name, revision=revision, timeout=HUB_SECONDS)
    there = {file.rfilename for file in info.siblings or ()}
    for card in CARD_FILES:
        if card in there:
            check_card(Path(hf_hub_download(name, card, repo_type="dataset", revision=info.sha)), name)
    return str(info.sha)


def _explained(error: Exception, where: str) -> UserError:
    from huggingface_hub import errors

    said: dict[type[Exception], tuple[str, str]] = {
        errors.GatedRepoError: (
            "the dataset is gated on the Hugging Face hub",
            "accept its terms on huggingface.co and log in with `hf auth login`",
        ),
        errors.RepositoryNotFoundError: (
            "no such dataset on the Hugging Face hub",
            "check the spelling; a private dataset needs `hf auth login`",
        ),
        errors.RevisionNotFoundError: ("the dataset has no such revision", "see its branches and tags on the hub"),
        errors.HFValidationError: (
            f"neither a folder nor a hub id ({reason_of(error)})",
            "give a folder or a hub id like org/name",
        ),
    }
    for kind, (what, how) in said.items():
        if isinstance(error, kind):
            return UserError(what, where=where, how=how)
    return UserError(
        f"the Hugging Face hub cannot be reached ({reason_of(error)})",
        where=where,
        how="check the network, set HF_HUB_OFFLINE=1 to use what is in the cache, or give a local folder",
    )


def reason_of(error: BaseException) -> str:
    """What an error says, on one line and not too long."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else f"{text[:300]}…"
