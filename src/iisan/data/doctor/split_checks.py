"""Checks of what the chosen split makes of the log: who is left out, and what the targets are."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from iisan.data.doctor.finding import Finding, finding
from iisan.data.doctor.folder import Folder
from iisan.data.doctor.leakage import examine_leakage
from iisan.data.doctor.options import DoctorOptions
from iisan.data.global_time import global_time
from iisan.data.histories import Histories
from iisan.data.interactions import Interactions
from iisan.data.leave_one_out import leave_one_out
from iisan.data.split import Split, TargetPart
from iisan.errors import UserError

PARTS: tuple[TargetPart, ...] = ("valid", "test")
# Users whose histories are compared with their target at once: bounds the memory at any size of log.
BLOCK = 1 << 16


def examine_split(folder: Folder, log: Interactions, options: DoctorOptions) -> list[Finding]:
    """Split the log as training would, and check what comes of it."""
    found = [_short_users(folder, log, options.min_interactions)]
    try:
        split = _split(log, options)
    except UserError as error:
        return [*found, _impossible(options, str(error))]
    found.append(_impossible(options, ""))
    for part in PARTS:
        found += [_without_history(split, part), _repeats(folder, split, part), _cold(folder, split, part)]
    for part in PARTS:
        found += examine_leakage(folder, log, split, part)
    return found


def repeats_history(histories: Histories) -> npt.NDArray[np.bool_]:
    """Whether each history's last item stands in it before too ``[U]``."""
    repeated = np.zeros(len(histories), dtype=bool)
    for at in range(0, len(histories), BLOCK):
        starts, before_target = histories.starts[at : at + BLOCK], histories.ends[at : at + BLOCK] - 1
        lengths = before_target - starts
        user = np.repeat(np.arange(len(starts)), lengths)
        positions = np.arange(len(user)) + np.repeat(starts - (np.cumsum(lengths) - lengths), lengths)
        same = histories.items[positions] == histories.items[before_target][user]
        repeated[at + user[same]] = True
    return repeated


def _split(log: Interactions, options: DoctorOptions) -> Split:
    if options.split == "leave_one_out":
        return leave_one_out(log, min_interactions=options.min_interactions, keep_last=options.keep_last)
    return global_time(
        log,
        valid_share=options.valid_share,
        test_share=options.test_share,
        min_interactions=options.min_interactions,
        keep_last=options.keep_last,
    )


def _impossible(options: DoctorOptions, reason: str) -> Finding:
    return finding(
        "impossible_split",
        "error",
        int(bool(reason)),
        1,
        "splits",
        f"cannot be made: {reason}" if reason else "cannot be made",
        how="choose another split or other options, or bring a larger log",
        about=options.split,
    )


def _short_users(folder: Folder, log: Interactions, least: int) -> Finding:
    counts = np.bincount(log.user, minlength=log.n_users)
    short = np.flatnonzero(counts < least)
    lost = int(counts[short].sum())
    return finding(
        "short_users",
        "error" if len(short) == log.n_users else "warning",
        len(short),
        log.n_users,
        "users",
        f"have fewer than {least} interactions and are left out, with {lost:,} of {len(log):,} interactions",
        how="lower min_interactions if that is too many",
        examples=folder.users_at(short),
    )


def _without_history(split: Split, part: TargetPart) -> Finding:
    count = split.unranked[part].new
    return finding(
        "targets_without_history",
        "warning",
        count,
        count + len(split.histories(part)),
        f"{part} users",
        "have a target and nothing before it, so they are not evaluated",
        how="to evaluate more users, move the moments of the split later or lower min_interactions",
        about=part,
    )


def _repeats(folder: Folder, split: Split, part: TargetPart) -> Finding:
    histories = split.histories(part)
    repeated = np.flatnonzero(repeats_history(histories))
    return finding(
        "repeated_targets",
        "warning",
        len(repeated),
        len(histories),
        f"{part} targets",
        "are in the user's history before: the paper's protocol counts them as misses",
        how="read the protocol keep_target beside it, or leave repeats out before the import",
        about=part,
        examples=(f"user {user}" for user in folder.users_at(histories.users[repeated])),
    )


def _cold(folder: Folder, split: Split, part: TargetPart) -> Finding:
    targets = split.targets(part)
    cold = np.flatnonzero(split.train_counts[targets] == 0)
    return finding(
        "cold_targets",
        "warning",
        len(cold),
        len(targets),
        f"{part} targets",
        "are items without a training interaction: only their content can find them",
        how="expect no hit on them from popularity or ids; compare methods on them apart",
        about=part,
        examples=folder.items_at(np.unique(targets[cold])),
    )
