"""A result as text for a terminal of any width."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from foldbn.latencies import Benchmark, BenchmarkRow
from foldbn.report.wording import count, number, plural, printable, size
from foldbn.results import (
    ArtifactVerification,
    Change,
    Conversion,
    Decision,
    Inspection,
    Source,
    Summary,
    Verification,
    VerifiedArtifact,
)

_STYLES = {"folded": "green", "merged": "green", "lowered": "yellow", "kept": "yellow"}
_VERDICTS = {"faster": "green", "slower": "red", "same": "", "inconclusive": "yellow"}


def render(
    result: Benchmark | Conversion | Inspection | Verification,
    console: Console,
    *,
    verbose: bool = False,
) -> None:
    """Print a result.

    Args:
        result: of one of the public functions.
        console: where to.
        verbose: with every figure there is.
    """
    match result:
        case Conversion():
            parts = _conversion(result, verbose=verbose)
        case Inspection():
            parts = _findings(result)
        case Verification():
            parts = [_source(result.source), _verifications(result, verbose=verbose)]
            parts += [_not_compared(each) for each in result.artifacts if each.error]
        case Benchmark():
            parts = [_latencies(result.benchmark, named=True)]
    if console.is_terminal:
        console.print(Group(*parts))
        return
    draft = io.StringIO()
    Console(file=draft, width=console.width, markup=False, emoji=False, highlight=False).print(
        Group(*parts)
    )
    lines = [line.rstrip() for line in draft.getvalue().rstrip().splitlines()]
    console.print(Text("\n".join(lines)), soft_wrap=True)


def _conversion(result: Conversion, *, verbose: bool) -> list[RenderableType]:
    parts = _findings(result)
    algebra = result.verification.algebra
    parts.append(
        Text.assemble(
            ("proven ", "green"),
            f"in float64: largest difference {number(algebra.max_rel)} of the range,"
            f" {algebra.samples} samples",
        )
    )
    if result.dry_run:
        names = ", ".join(map(printable, result.would_write))
        return [*parts, Text(f"dry run: would write {names}")]
    parts += [Text(), _sizes(result), Text(), _verifications(result, verbose=verbose)]
    if result.benchmark:
        parts += [Text(), _latencies(result.benchmark)]
    if verbose:
        spent = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in result.timings_s.items())
        parts += [Text(), Text(f"time: {spent}")]
    for artifact in result.artifacts:
        parts += [_left_out(artifact.path, *each) for each in artifact.left_out.items()]
    written = Text("wrote", style="bold")
    for artifact in result.artifacts:
        written.append(f" {printable(artifact.path)}", style="not bold")
    return [*parts, Text(), written]


def _findings(result: Conversion | Inspection) -> list[RenderableType]:
    head = _source(result.source)
    if result.source.precision != "float32":
        head.append("; foldbn exports float32")
    parts: list[RenderableType] = [head, _tally(result.summary)]
    if result.decisions:
        parts.append(Text())
    layers = _grid()
    for each in result.decisions:
        if each.outcome == "folded":
            layers.add_row(_outcome(each), printable(each.layer), _destination(each))
    if layers.row_count:
        parts += [layers, Text()]
    for each in result.decisions:
        if each.outcome != "folded":
            parts += [_explanation(each), Text()]
    if result.reordered:
        names = ", ".join(map(printable, result.reordered))
        parts += [Text(f"moved to where there are fewer positions: {names}"), Text()]
    return parts


def _source(source: Source) -> Text:
    writer = f", written by {printable(source.writer)}" if source.writer else ""
    told = Text.assemble((printable(source.path), "bold"), f" ({source.format}{writer})")
    if source.precision != "float32":
        told.append(f"\ncomputes in {source.precision}")
    return told


def _tally(summary: Summary) -> Text:
    if not summary.affine_layers:
        return Text("no affine layers: nothing to fold")
    outcomes = ("folded", "merged", "lowered", "kept")
    counts = [(name, getattr(summary, name)) for name in outcomes]
    told = ", ".join(f"{number_} {name}" for name, number_ in counts if number_)
    return Text(f"{plural(summary.affine_layers, 'affine layer')}: {told}")


def _outcome(decision: Decision) -> Text:
    return Text(decision.outcome, style=_STYLES[decision.outcome])


def _destination(decision: Decision) -> Text:
    """Say where a map went: ``-> dense_1, forward across flatten``."""
    if not decision.into:
        return Text("was the identity")
    text = Text(f"-> {', '.join(map(printable, decision.into))}, {decision.direction}")
    others = [name for name in decision.across if name not in decision.into]
    if others:
        text.append(f" across {', '.join(map(printable, others))}", style="dim")
    return text


def _explanation(decision: Decision) -> RenderableType:
    """Say why a layer was not folded, one line for each direction."""
    head = Text.assemble(_outcome(decision), f"  {printable(decision.layer)}")
    reasons = [Text(printable(part)) for part in (decision.reason or "").split("; ")]
    return Group(head, Padding(Group(*reasons), (0, 0, 0, 6), expand=False))


def _left_out(path: str, signature: str, reason: str) -> Text:
    """Say which signature of the original a SavedModel lacks."""
    name = printable(Path(path).name)
    told = f"  signature {printable(signature)!r} is not in {name}: {printable(reason)}"
    return Text.assemble(("left out", "yellow"), told)


def _sizes(result: Conversion) -> Table:
    table = _grid("", "nodes", "weights", "bytes")
    for artifact in result.artifacts:
        table.add_row(
            Text(artifact.format, style="bold"),
            _change(artifact.nodes, count),
            _change(artifact.params, count),
            _change(artifact.size, size),
        )
    return table


def _change(change: Change, wording: object) -> str:
    told = wording if callable(wording) else str
    if change.before is None:
        return str(told(change.after))
    return f"{told(change.before)} -> {told(change.after)}"


def _verifications(result: Conversion | Verification, *, verbose: bool) -> RenderableType:
    table = _grid("", "verified", "error", "original's", "allowed", "SNR", "arg-max", "samples")
    details = []
    for artifact in result.artifacts:
        name = artifact.format
        if isinstance(result, Verification):
            name = printable(Path(artifact.path).name)
        table.add_row(Text(name, style="bold"), *_verification(artifact.verification))
        if verbose and artifact.verification.samples:
            details.append(Text(f"{name}: {_details(artifact.verification)}", style="dim"))
    alike = dict.fromkeys(name for each in result.artifacts for name in each.verification.constant)
    if alike:
        told = ", ".join(map(printable, alike))
        advice = "the same for every sample, which proves little: give real inputs by --samples"
        details.append(Text.assemble(("note ", "yellow"), f"{told}: {advice}"))
    return Group(table, *details) if details else table


def _not_compared(artifact: VerifiedArtifact) -> Text:
    """Say why a file has no figures."""
    error = artifact.error
    told = "" if error is None else ": ".join(filter(None, (error.message, error.hint)))
    return Text.assemble((printable(Path(artifact.path).name), "bold"), f"  {printable(told)}")


def _verification(found: ArtifactVerification) -> list[Text]:
    snr = "no noise" if found.snr_db is None else f"{found.snr_db:.0f} dB"
    if not found.samples:
        return [Text("FAILED", "bold red"), Text("not compared")]
    return [
        Text("passed", "green") if found.passed else Text("FAILED", "bold red"),
        Text(number(found.error)),
        Text(number(found.original_error)),
        Text(number(found.tolerance)),
        Text(snr),
        Text(f"{found.argmax_agreement:.1%}"),
        Text(str(found.samples)),
    ]


def _details(found: ArtifactVerification) -> str:
    place = ", ".join(map(str, found.worst_index))
    ulp = "" if found.ulp_p99 is None else f", 99 % within {found.ulp_p99:,.0f} ulp"
    return (
        f"largest difference {number(found.max_abs)} ({number(found.max_rel)} of the range)"
        f" at {printable(found.worst_output)}[{place}], mean {number(found.mean_abs)}{ulp}"
    )


def _latencies(rows: Sequence[BenchmarkRow], *, named: bool = False) -> RenderableType:
    """Return a table of latencies, its rows by their files where these tell them apart."""
    first = rows[0]
    head = f"latency in ms, {plural(first.threads, 'thread')}, batch {first.batch_size}"
    table = _grid("", "original", "candidate", "speedup", "95 % interval", "")
    for row in rows:
        low, high = row.speedup_ci95
        provider = row.provider.removesuffix("ExecutionProvider")
        name = printable(Path(row.folded).name) if named else row.format
        table.add_row(
            Text(f"{name} {provider}{' with copies' * bool(row.copies)}", style="bold"),
            f"{row.original_ms.p50:.3f}",
            f"{row.folded_ms.p50:.3f}",
            f"{row.speedup:.3f} x",
            f"{low:.3f} to {high:.3f}",
            Text(row.verdict, style=_VERDICTS[row.verdict]),
        )
    return Group(Text(head), table, *_timed_shapes(rows, named=named))


def _timed_shapes(rows: Sequence[BenchmarkRow], *, named: bool) -> list[Text]:
    """Return which shapes were timed where lengths are open, for each file if they differ."""
    alike = all(row.shapes == rows[0].shapes for row in rows)
    told = {}
    for row in rows[:1] if alike else rows:
        if row.shapes:
            name = printable(Path(row.folded).name) if named else row.format
            shapes = (f"{printable(key)} {list(shape)}" for key, shape in row.shapes.items())
            told[name] = f"timed on inputs of {', '.join(shapes)}"
    return [Text(each if alike else f"{name} {each}", style="dim") for name, each in told.items()]


def _grid(*headers: str) -> Table:
    table = Table(box=None, pad_edge=False, show_header=bool(headers), header_style="dim")
    for header in headers:
        table.add_column(header, overflow="fold")
    return table
