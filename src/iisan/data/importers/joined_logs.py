"""Several files of one log as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np

from iisan.data.importers.columns import Coded
from iisan.data.importers.log import RawLog
from iisan.data.interactions import Timestamps
from iisan.errors import UserError


def joined(logs: Sequence[RawLog], where: str) -> RawLog:
    """The rows of some logs one after the other.

    Args:
        logs: At least one.
        where: What to call the whole in messages.

    Raises:
        UserError: Some have times or ratings and others have none.
    """
    if len(logs) == 1:
        return logs[0]
    times: list[Timestamps] = [log.timestamp for log in logs if log.timestamp is not None]
    ratings = [log.rating for log in logs if log.rating is not None]
    for what, there in (("times", times), ("ratings", ratings)):
        if len(there) not in (0, len(logs)):
            raise UserError(
                f"some files have {what} and others have none", where=where, how="leave them out everywhere"
            )
    return RawLog(
        user=_joined_ids([log.user for log in logs]),
        item=_joined_ids([log.item for log in logs]),
        timestamp=cast(Timestamps, np.concatenate(times)) if times else None,
        rating=np.concatenate(ratings) if ratings else None,
        where=where,
    )


def _joined_ids(parts: Sequence[Coded]) -> Coded:
    code_of: dict[str, int] = {}
    for part in parts:
        for one in part.ids:
            code_of.setdefault(one, len(code_of))
    codes = [np.fromiter((code_of[one] for one in part.ids), np.int64, len(part.ids))[part.codes] for part in parts]
    return Coded(np.concatenate(codes), list(code_of))
