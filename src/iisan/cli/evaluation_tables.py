"""Evaluations as tables that a terminal of 80 columns shows whole."""

from __future__ import annotations

from rich.table import Table

from iisan.cli.consoles import results
from iisan.cli.narrow_table import Heading, narrow_table
from iisan.data.split import SplitKind
from iisan.evaluation.evaluate import Evaluation
from iisan.evaluation.popularity_bands import BANDS
from iisan.evaluation.protocol import PROTOCOLS, Protocol
from iisan.jobs.evaluate_models import EvaluateModelsOutcome, ModelComparison
from iisan.jobs.evaluate_outcome import EvaluateOutcome, SplitEvaluation

# What the smaller tables show; the JSON form has both protocols.
SHOWN: Protocol = "paper"
USUAL_K = 10
# Of the table that compares two models, beside the metric.
COMPARED = ("first", "other", "difference", "95 % interval", "p")


def print_outcome(outcome: EvaluateModelsOutcome) -> None:
    """Prints the evaluations of all models, the comparisons, and what the words mean."""
    for evaluation in outcome.evaluations:
        _print_model(evaluation, named=len(outcome.evaluations) > 1)
    for comparison in outcome.comparisons:
        _print_comparison(comparison)
    for protocol, meaning in PROTOCOLS.items():
        _line(f"{protocol}: {meaning}")
    _line("; ".join(f"{band}: {meaning}" for band, meaning in BANDS.items()))


def _print_model(outcome: EvaluateOutcome, *, named: bool) -> None:
    if named:
        _line(outcome.name)
    for kind, one in outcome.splits.items():
        results.print(_metrics_table(kind, one))
        _line(f"{kind}: {one.leak}")
        _line(_notes(one))
        results.print(_bands_table(kind, one))
    for kind, reason in outcome.skipped.items():
        _line(f"{kind}: not evaluated: {reason}")


def _metrics_table(kind: SplitKind, one: SplitEvaluation) -> Table:
    evaluation = one.model
    names = list(evaluation.metrics[SHOWN])
    title = f"{kind}, {evaluation.part}: {evaluation.n_users:,} users, {evaluation.n_candidates:,} items, percent"
    rows = [
        [label, protocol, *(_percent(metrics[name]) for name in names)]
        for label, ranked in _rankings(one)
        for protocol, metrics in ranked.metrics.items()
    ]
    headings = [Heading("ranked by", numeric=False), Heading("protocol", numeric=False), *map(Heading, names)]
    return narrow_table(title, headings, rows)


def _notes(one: SplitEvaluation) -> str:
    evaluation, left_out = one.model, one.split.unranked[one.model.part]
    parts = [
        f"targets that repeat the history: {_percent(evaluation.repeated_targets, 1)} %",
        f"items ever shown: {_percent(evaluation.coverage, 1)} %",
        f"places taken by the most popular 1 %: {_percent(evaluation.popular, 1)} % "
        f"(by popularity {_percent(one.popularity.popular, 1)} %)",
    ]
    if left_out.new:
        parts.append(f"users without a history, not ranked: {left_out.new:,}")
    if left_out.held_out:
        parts.append(f"users with a held-out target, not ranked: {left_out.held_out:,}")
    return "; ".join(parts)


def _bands_table(kind: SplitKind, one: SplitEvaluation) -> Table:
    ks = sorted(int(name[3:]) for name in one.model.metrics[SHOWN] if name.startswith("HR@"))
    k = USUAL_K if USUAL_K in ks else ks[-1]
    names = [f"HR@{k}", f"NDCG@{k}"]
    columns = [*names, *(f"popular {name}" for name in names)]
    rows: list[list[str]] = []
    for band in BANDS:
        cells = [ranked.bands[band].metrics for _, ranked in _rankings(one)]
        result = one.model.bands[band]
        rows.append([band, f"{result.n_items:,}", f"{result.n_users:,}", *_cells(cells, names)])
    cold = one.model.among_cold
    cells = [ranked.among_cold.metrics for _, ranked in _rankings(one)]
    rows.append(["cold among cold", f"{cold.n_candidates:,}", f"{cold.n_users:,}", *_cells(cells, names)])
    headings = [Heading("target", numeric=False), *map(Heading, ("items", "users", *columns))]
    return narrow_table(f"{kind}, by popularity of the target, {SHOWN}, percent", headings, rows)


def _cells(metrics: list[dict[Protocol, dict[str, float]]], names: list[str]) -> list[str]:
    return [_percent(one[SHOWN][name]) if one else "–" for one in metrics for name in names]


def _print_comparison(comparison: ModelComparison) -> None:
    for kind, protocols in comparison.differences.items():
        rows: list[list[str]] = []
        for name, found in protocols[SHOWN].items():
            interval = f"{100 * found.low:+.2f} to {100 * found.high:+.2f}"
            shares = (_percent(found.first), _percent(found.other), f"{100 * found.difference:+.2f}")
            rows.append([name, *shares, interval, f"{found.p_value:.4f}"])
        headings = [Heading("metric", numeric=False), *map(Heading, COMPARED)]
        title = f"{kind}, {SHOWN}: {comparison.other} against {comparison.first}, percent"
        results.print(narrow_table(title, headings, rows))
    _line("intervals and p: paired bootstrap over users; how much the training seed decides is not in them")


def _rankings(one: SplitEvaluation) -> tuple[tuple[str, Evaluation], tuple[str, Evaluation]]:
    return ("model", one.model), ("popularity", one.popularity)


def _percent(share: float, digits: int = 2) -> str:
    return f"{100 * share:.{digits}f}"


def _line(text: str) -> None:
    results.print(text, highlight=False, soft_wrap=True)
