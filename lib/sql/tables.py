"""The tables people may query: their names and columns as they read them, and how each is made of what is stored."""

from __future__ import annotations

from dataclasses import dataclass

from lib.store.archive import tier_rows
from lib.store.tiers import TIERS, VALUES


@dataclass(frozen=True)
class Column:
    """type: DuckDB's name for it. Times are UTC and carry no zone."""

    name: str
    type: str
    about: str


@dataclass(frozen=True)
class Table:
    """One published table.

    parts: the exported pieces it reads. view: the query over those pieces, each by its name in angle brackets.
    """

    name: str
    about: str
    columns: tuple[Column, ...]
    parts: tuple[str, ...]
    view: str


@dataclass(frozen=True)
class Part:
    """One exported piece. select: from the DuckDB file; or from `incoming`, what `rows` names in the app database.

    by_day: column of time by which it is cut into a file a day, so that only days that changed are written again.
    key: what tells two rows of a day apart, as a BIGINT. tier: whose files of the archive it is; select then only says
    what columns there are.
    """

    name: str
    select: str
    by_day: str = ""
    key: str = ""
    rows: str = ""
    tier: str = ""


def _columns(*lines: tuple[str, str, str]) -> tuple[Column, ...]:
    return tuple(Column(*line) for line in lines)


_SOURCE = ("source", "VARCHAR", "Name of the source it came from.")
_HOST = ("host", "VARCHAR", "Host; empty when no label tells.")
_TEXT = "VARCHAR"
# As `store.partition` writes them: a value is an integer and its divisor, or as it is.
_TIER = "SELECT 0::INTEGER AS series_id, TIMESTAMP_MS '1970-01-01' AS ts, 0::BIGINT AS count, " + ", ".join(
    f"0::BIGINT AS {name}, 1::DOUBLE AS {name}_divisor, 0::DOUBLE AS {name}_raw" for name in VALUES
)
_SUMS = " UNION ALL ".join(
    f"SELECT {tier_rows(tier)}, {step_ms // 1000}::INTEGER AS step_s FROM <tiers_{tier}>"  # noqa: S608 (names)
    for tier, step_ms in TIERS.items()
)

PARTS = {
    part.name: part
    for part in (
        Part(
            "samples",
            "SELECT series_id, ts, value FROM samples",
            by_day="ts",
            key="series_id::BIGINT * 4294967291 + epoch_ms(ts)",
        ),
        Part("series", "SELECT id, source_id, metric, host, kind, labels FROM series"),
        Part(
            "scores",
            "SELECT detector_id, ts, score, confidence, threshold FROM scores",
            by_day="ts",
            key="hash(detector_id, ts, score, threshold)::HUGEINT",
        ),
        Part(
            "expectations",
            "SELECT detector_id, series_id, ts, low, expected, high FROM expectations",
            by_day="ts",
            key="hash(detector_id, series_id, ts, expected)::HUGEINT",
        ),
        *(Part(f"tiers_{tier}", _TIER, tier=tier) for tier in TIERS),
        Part("anomalies", "SELECT * FROM anomalies"),
        Part("gaps", "SELECT * FROM gaps"),
        Part(
            "forecasts",
            "SELECT id, source_id, series_id, made_at, made_by, start_ts, step_s, steps, model FROM forecasts",
        ),
        Part("forecast_points", "SELECT * FROM forecast_points"),
        Part("sources", "SELECT id::INTEGER AS id, name FROM incoming", rows="sources"),
        Part(
            "detectors",
            "SELECT id::INTEGER AS id, source_id::INTEGER AS source_id, host FROM incoming",
            rows="detectors",
        ),
        Part(
            "labels",
            "SELECT source_id::INTEGER AS source_id, host, start_at AS started_at, end_at AS ended_at, verdict, note, "
            "created_at FROM incoming",
            rows="labels",
        ),
        Part(
            "annotations",
            "SELECT source_id::INTEGER AS source_id, host, kind, start_at AS started_at, end_at AS ended_at, repeat, "
            "text, created_at FROM incoming",
            rows="annotations",
        ),
    )
}

TABLES = {
    table.name: table
    for table in (
        Table(
            "samples",
            "Every reading as it was collected; counters as they count.",
            _columns(
                ("ts", "TIMESTAMP", "When it was read, UTC."),
                ("metric", _TEXT, "Name of the metric."),
                _HOST,
                ("value", "DOUBLE", "The reading; NaN where the source said that the series had ended."),
                ("series_id", "INTEGER", "Which series; see the table series for its labels."),
                _SOURCE,
            ),
            ("samples", "series", "sources"),
            "SELECT s.ts::TIMESTAMP AS ts, n.metric, n.host, s.value, s.series_id, o.name AS source FROM <samples> s "
            "JOIN <series> n ON n.id = s.series_id LEFT JOIN <sources> o ON o.id = n.source_id",
        ),
        Table(
            "tiers",
            "Sums of each closed day by 5 minutes and by hour; they stay when samples expire.",
            _columns(
                ("ts", "TIMESTAMP", "Where the step begins, UTC."),
                ("step_s", "INTEGER", "300 or 3600: ask for one of them, or each reading counts twice."),
                ("metric", _TEXT, "Name of the metric."),
                _HOST,
                ("count", "BIGINT", "How many readings that are numbers."),
                ("min", "DOUBLE", "The least of them."),
                ("max", "DOUBLE", "The most of them."),
                ("sum", "DOUBLE", "Their sum: sum / count is the mean."),
                ("last", "DOUBLE", "The newest of them."),
                ("increase", "DOUBLE", "How much a counter grew, resets handled; NULL for others."),
                ("series_id", "INTEGER", "Which series; see the table series for its labels."),
                _SOURCE,
            ),
            (*(f"tiers_{tier}" for tier in TIERS), "series", "sources"),
            "SELECT t.ts::TIMESTAMP AS ts, t.step_s, n.metric, n.host, t.count, t.min, t.max, t.sum, t.last, "
            "CASE WHEN NOT isnan(t.increase) THEN t.increase END AS increase, t.series_id, o.name AS source "
            "FROM (<sums>) t JOIN <series> n ON n.id = t.series_id LEFT JOIN <sources> o ON o.id = n.source_id".replace(
                "<sums>", _SUMS
            ),
        ),
        Table(
            "series",
            "What is collected: one row a metric and set of labels.",
            _columns(
                ("series_id", "INTEGER", "Its number in samples and expectations."),
                ("metric", _TEXT, "Name of the metric."),
                _HOST,
                ("kind", _TEXT, "gauge, counter, and so on."),
                ("labels", "MAP(VARCHAR, VARCHAR)", "All labels: labels['device']."),
                _SOURCE,
            ),
            ("series", "sources"),
            "SELECT n.id AS series_id, n.metric, n.host, n.kind, n.labels, o.name AS source FROM <series> n "
            "LEFT JOIN <sources> o ON o.id = n.source_id",
        ),
        Table(
            "scores",
            "How unusual each host was at each moment, by its detector.",
            _columns(
                ("ts", "TIMESTAMP", "The moment, UTC."),
                _HOST,
                ("score", "DOUBLE", "Higher is stranger."),
                ("confidence", "DOUBLE", "0 to 1."),
                ("threshold", "DOUBLE", "What was in force then."),
                ("detector_id", "INTEGER", "Which detector said so."),
                _SOURCE,
            ),
            ("scores", "detectors", "sources"),
            "SELECT s.ts::TIMESTAMP AS ts, d.host, s.score, s.confidence, s.threshold, s.detector_id, o.name AS source "
            "FROM <scores> s LEFT JOIN <detectors> d ON d.id = s.detector_id "
            "LEFT JOIN <sources> o ON o.id = d.source_id",
        ),
        Table(
            "anomalies",
            "Spans in which a host was not as usual.",
            _columns(
                ("anomaly_id", "BIGINT", "Its number, as in ?anomaly= of the Anomalies page."),
                ("started_at", "TIMESTAMP", "UTC."),
                ("ended_at", "TIMESTAMP", "UTC; NULL while it goes on."),
                ("peak_at", "TIMESTAMP", "When it was strangest, UTC."),
                _HOST,
                ("severity", _TEXT, "low, medium, high or critical."),
                ("score", "DOUBLE", "At the peak; higher is stranger."),
                ("confidence", "DOUBLE", "0 to 1."),
                ("metric", _TEXT, "The metric that contributed most."),
                ("actual", "DOUBLE", "Its value at the peak."),
                ("expected", "DOUBLE", "What was expected then."),
                ("low", "DOUBLE", "Lower edge of what was expected."),
                ("high", "DOUBLE", "Upper edge of what was expected."),
                ("series_id", "INTEGER", "The series that contributed most."),
                ("detector_id", "INTEGER", "Which detector found it."),
                _SOURCE,
                ("explanation", _TEXT, "JSON: explanation ->> 'sentence'."),
            ),
            ("anomalies", "series", "sources"),
            "SELECT a.id AS anomaly_id, a.start_ts::TIMESTAMP AS started_at, a.end_ts::TIMESTAMP AS ended_at, "
            "a.peak_ts::TIMESTAMP AS peak_at, a.host, a.severity, a.score, a.confidence, n.metric, a.actual, "
            "a.expected, a.low, a.high, a.series_id, a.detector_id, o.name AS source, a.explanation FROM <anomalies> a "
            "LEFT JOIN <series> n ON n.id = a.series_id LEFT JOIN <sources> o ON o.id = a.source_id",
        ),
        Table(
            "expectations",
            "The band each detector expected of a series.",
            _columns(
                ("ts", "TIMESTAMP", "The moment, UTC."),
                ("metric", _TEXT, "Name of the metric."),
                _HOST,
                ("low", "DOUBLE", "Lower edge."),
                ("expected", "DOUBLE", "The middle."),
                ("high", "DOUBLE", "Upper edge."),
                ("series_id", "INTEGER", "Which series."),
                ("detector_id", "INTEGER", "Which detector."),
            ),
            ("expectations", "series"),
            "SELECT e.ts::TIMESTAMP AS ts, n.metric, n.host, e.low, e.expected, e.high, e.series_id, e.detector_id "
            "FROM <expectations> e LEFT JOIN <series> n ON n.id = e.series_id",
        ),
        Table(
            "gaps",
            "Spans that were not collected, and whether they have been filled since.",
            _columns(
                ("started_at", "TIMESTAMP", "UTC."),
                ("ended_at", "TIMESTAMP", "UTC."),
                ("target", _TEXT, "What was to be collected."),
                ("reason", _TEXT, "Why it was not."),
                ("filled_at", "TIMESTAMP", "When it was filled, UTC; NULL while it is open."),
                _SOURCE,
            ),
            ("gaps", "sources"),
            "SELECT g.start_ts::TIMESTAMP AS started_at, g.end_ts::TIMESTAMP AS ended_at, g.target, g.reason, "
            "g.filled_at::TIMESTAMP AS filled_at, o.name AS source FROM <gaps> g "
            "LEFT JOIN <sources> o ON o.id = g.source_id",
        ),
        Table(
            "labels",
            "What people said of anomalies.",
            _columns(
                ("started_at", "TIMESTAMP", "UTC."),
                ("ended_at", "TIMESTAMP", "UTC."),
                _HOST,
                ("verdict", _TEXT, "real, false or expected."),
                ("note", _TEXT, "Their words."),
                ("created_at", "TIMESTAMP", "When they said it, UTC."),
                _SOURCE,
            ),
            ("labels", "sources"),
            "SELECT l.started_at, l.ended_at, l.host, l.verdict, l.note, l.created_at, o.name AS source FROM "
            "<labels> l LEFT JOIN <sources> o ON o.id = l.source_id",
        ),
        Table(
            "annotations",
            "Deploys, notes, maintenance and expected spans on the time line.",
            _columns(
                ("started_at", "TIMESTAMP", "UTC."),
                ("ended_at", "TIMESTAMP", "UTC; NULL for a moment."),
                ("kind", _TEXT, "deploy, note, maintenance or expected."),
                ("host", _TEXT, "Host; empty for all."),
                ("repeat", _TEXT, "never, daily or weekly."),
                ("text", _TEXT, "What it says."),
                ("created_at", "TIMESTAMP", "When it was marked, UTC."),
                ("source", _TEXT, "Name of the source; NULL for all."),
            ),
            ("annotations", "sources"),
            "SELECT a.started_at, a.ended_at, a.kind, a.host, a.repeat, a.text, a.created_at, o.name AS source "
            "FROM <annotations> a LEFT JOIN <sources> o ON o.id = a.source_id",
        ),
        Table(
            "forecasts",
            "Forecasts that were made: of which series, by which model.",
            _columns(
                ("id", "BIGINT", "The forecast's number."),
                ("series_id", "INTEGER", "Number of the series."),
                ("metric", _TEXT, "Metric of the series."),
                _HOST,
                ("made_at", "TIMESTAMP", "UTC."),
                ("made_by", _TEXT, "Who asked for it."),
                ("started_at", "TIMESTAMP", "Where its first step begins, UTC."),
                ("step_s", "INTEGER", "Seconds a step."),
                ("steps", "INTEGER", "How many of them."),
                ("model", _TEXT, "The model that did best on the series' own past."),
                _SOURCE,
            ),
            ("forecasts", "series", "sources"),
            "SELECT f.id, f.series_id, s.metric, s.host, f.made_at::TIMESTAMP AS made_at, f.made_by, "
            "f.start_ts::TIMESTAMP AS started_at, f.step_s, f.steps, f.model, o.name AS source FROM <forecasts> f "
            "LEFT JOIN <series> s ON s.id = f.series_id LEFT JOIN <sources> o ON o.id = f.source_id",
        ),
        Table(
            "forecast_points",
            "What each forecast expects, step by step, in the series' own unit.",
            _columns(
                ("forecast_id", "BIGINT", "The forecast's number."),
                ("ts", "TIMESTAMP", "Middle of the step, UTC."),
                ("low95", "DOUBLE", "Lower end of the 95% interval."),
                ("low80", "DOUBLE", "Lower end of the 80% interval."),
                ("middle", "DOUBLE", "What is most likely."),
                ("high80", "DOUBLE", "Upper end of the 80% interval."),
                ("high95", "DOUBLE", "Upper end of the 95% interval."),
            ),
            ("forecast_points",),
            "SELECT forecast_id, ts::TIMESTAMP AS ts, low95, low80, middle, high80, high95 FROM <forecast_points>",
        ),
    )
}

# Published as they are once the DuckDB file has a table of that name: columns are read from the file.
LATER = {
    "alerts": "What was reported, and to whom.",
}
