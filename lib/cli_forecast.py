"""The command line's `forecast`: list, run, show, and when a limit is crossed."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lib.errors import Invalid, NotFound
from lib.frames import Window

if TYPE_CHECKING:
    from lib.app import App
    from lib.services.forecasting import View
    from lib.store.forecasts import Made

Say = Callable[[bool, dict[str, Any], str], None]
EXAMPLES = """\
examples:
  python -m lib forecast run --metric node_filesystem_avail_bytes --host db-01 --horizon 30d --limit "10 GiB"
  python -m lib forecast list --host db-01
  python -m lib forecast show 12 --limit "90 %" --json
"""


def add_to(commands: Any, shared: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """The command's own options; the caller sets what runs."""
    command: argparse.ArgumentParser = commands.add_parser(
        "forecast",
        parents=[shared],
        help="foresee series, list and show forecasts, ask when a limit is crossed",
        description="run: make forecasts and show them. list: those that were made, newest first. show: one, with its "
        "report card and how it did.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("action", choices=("run", "list", "show"))
    command.add_argument("number", nargs="?", type=int, help="which forecast (with show)")
    command.add_argument("--series", type=int, action="append", default=[], metavar="ID", help="a series; repeatable")
    command.add_argument("--metric", help="all series of a metric")
    command.add_argument("--host", help="only of this host")
    command.add_argument("--horizon", default="1d", metavar="SPAN", help="how far ahead: 10m to 366d (default: 1d)")
    command.add_argument("--last", metavar="SPAN", help="learn from 30d, or START/END (default: all that is of use)")
    command.add_argument("--country", default="", metavar="CODE", help="whose holidays count, such as DE")
    command.add_argument("--no-prophet", action="store_true", help="simple models only; quicker")
    command.add_argument("--limit", help="when is it crossed? 250, '1.5 TiB', '90 %%'")
    command.add_argument("--side", choices=("above", "below"), help="which way (default: wherever the limit lies)")
    command.add_argument("--points", action="store_true", help="also print each step")
    command.add_argument("--most", type=int, default=20, metavar="N", help="so many rows (with list; default: 20)")
    return command


def run(app: App, options: argparse.Namespace, say: Say, follow: Callable[[App, int], None]) -> int:
    """say: prints a row; follow: waits for a task. Raises AppError."""
    if options.side and options.limit is None:
        raise Invalid("--side goes with --limit.")
    if (options.number is not None) != (options.action == "show"):
        raise Invalid("Name one forecast by its number with show, and only then; `forecast list` has the numbers.")
    if options.action == "list":
        return _list(app, options, say)
    if options.action == "show":
        _show(app, options, options.number, say)
        return 0
    return _make(app, options, say, follow)


def _list(app: App, options: argparse.Namespace, say: Say) -> int:
    from lib.auth.actor import SYSTEM
    from lib.services import forecasting_answer

    if not 1 <= options.most <= 10_000:
        raise Invalid("--most is a number from 1 to 10000.")
    if len(options.series) > 1:
        raise Invalid("list takes one --series.")
    number = options.series[0] if options.series else None
    found = app.forecasting.listed(
        SYSTEM, series_id=number, metric=options.metric, host=options.host, limit=options.most
    )
    for made, series in found:
        say(options.json, forecasting_answer.row(made, series), f"{made.id:>6}  {_line(made)}  {series.title}")
    if not found and not options.json:
        print("No forecasts; make one with `python -m lib forecast run --metric NAME`.")
    return 0


def _make(app: App, options: argparse.Namespace, say: Say, follow: Callable[[App, int], None]) -> int:
    from lib.auth.actor import SYSTEM

    now = app.clock()
    task = app.forecasting.forecast(
        SYSTEM,
        options.series,
        metric=options.metric,
        host=options.host,
        horizon=Window.parse(options.horizon, now).span,
        window=Window.parse(options.last, now) if options.last else None,
        country=options.country,
        prophet=not options.no_prophet,
    )
    app.runner.start()
    follow(app, task.id or 0)
    result = app.runner.get(task.id or 0).result
    for one in result["made"]:
        made = app.forecasting.latest(SYSTEM, one["series_id"])
        if made is None:
            raise NotFound(f"The forecast of series {one['series_id']} is gone; its source may have been removed.")
        _show(app, options, made.id, say)
    for one in result["refused"]:
        say(options.json, one, f"{one['title']}: no forecast. {one['reason']}")
    return int(bool(result["refused"]))


def _show(app: App, options: argparse.Namespace, number: int, say: Say) -> None:
    from lib.auth.actor import SYSTEM
    from lib.forecast import limits
    from lib.services import forecasting_answer

    view = app.forecasting.view(SYSTEM, number)
    row = forecasting_answer.whole(view)
    lines = [f"Forecast {number} of {view.series.title}", f"  {_line(view.made)}"]
    lines += [f"  {line}" for line in forecasting_answer.card_lines(row["card"])] + _outcome(view)
    limit = limits.parse(options.limit, view.unit) if options.limit is not None else None
    if limit is not None:
        found = app.forecasting.crossing(SYSTEM, view, limit, options.side)
        row["crossing"] = forecasting_answer.crossing(found, view)
        lines.append(f"  {row['crossing']['answer']}")
    if options.points:
        lines.append("  time (UTC)             low 95%       middle     high 95%")
        for point in row["points"]:
            values = "".join(f"{point[name]:>13.6g}" for name in ("low95", "middle", "high95"))
            lines.append(f"  {point['ts']:%Y-%m-%d %H:%M}{values}")
    elif options.json:
        del row["points"]
    say(options.json, row, "\n".join(lines))


def _outcome(view: View) -> list[str]:
    from lib.profiling.words import amount

    one = view.outcome
    if one is None:
        return []
    error = amount(one.error, view.unit)
    return [f"  So far {one.steps} of {view.made.steps} steps came: off by {error}, {one.within80:.0%} within 80%."]


def _line(made: Made) -> str:
    moments = (made.made_at, made.start_at, made.end_at)
    at, start, end = (f"{moment:%Y-%m-%d %H:%M}" for moment in moments)
    return f"made {at} by {made.made_by}, {start} to {end}, {made.model}"
