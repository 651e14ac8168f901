"""The token that writing asks for: where it comes from, and how it is compared."""

from __future__ import annotations

import hashlib
import hmac
import os
from dataclasses import dataclass, field
from pathlib import Path

from iisan.errors import UserError

VARIABLE = "IISAN_TOKEN"
# 16 letters chosen at random are beyond guessing over a network.
SHORTEST = 16
LONGEST = 4096


@dataclass(frozen=True)
class Token:
    """A bearer token; only its digest is kept.

    Args:
        digest: SHA-256 of the token.
    """

    digest: bytes = field(repr=False)

    @classmethod
    def of(cls, text: str, where: str) -> Token:
        """A token from text.

        Raises:
            UserError: It is too short, too long, or cannot stand in a header.
        """
        if not SHORTEST <= len(text) <= LONGEST or not text.isascii() or not text.isprintable() or " " in text:
            raise UserError(
                f"the token is not of {SHORTEST} to {LONGEST} printable ASCII characters without spaces",
                where=where,
                how="make one with: openssl rand -hex 32",
            )
        return cls(hashlib.sha256(text.encode("ascii")).digest())

    def matches(self, authorization: str | None) -> bool:
        """Whether an ``Authorization`` header carries it; takes the same time wherever the texts differ."""
        scheme, _, given = (authorization or "").partition(" ")
        digest = hashlib.sha256(given.strip().encode("utf-8", "surrogateescape")).digest()
        return hmac.compare_digest(digest, self.digest) and scheme.lower() == "bearer"


def read_token(file: Path | None) -> Token | None:
    """The token of a file, else that of the environment, else None.

    Raises:
        UserError: The file cannot be read, or it is no token.
    """
    if file is None:
        text = os.environ.get(VARIABLE)
        return None if text is None else Token.of(text, VARIABLE)
    try:
        with file.open(encoding="ascii") as stream:
            return Token.of(stream.read(LONGEST + 2).strip(), str(file))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"the token cannot be read ({error})", where=str(file), how="check --token-file") from error
