"""What people might try on the SQL page: ways out, ways to bring it down, and honest queries to mutate."""

from __future__ import annotations

# {dir}: a folder with canaries in every format. {db}: the store's own file. Each of these must be refused.
ESCAPES = """
SELECT * FROM '{dir}/canary.csv'
SELECT * FROM "{dir}/canary.csv"
SELECT * FROM '{dir}/canary.parquet'
SELECT * FROM '{dir}/canary.json'
SELECT * FROM '{dir}/*.csv'
SELECT * FROM '/etc/passwd'
SELECT * FROM 'file://{dir}/canary.csv'
SELECT * FROM 'https://example.com/x.csv'
SELECT * FROM 's3://bucket/x.parquet'
SELECT * FROM read_csv('{dir}/canary.csv')
SELECT * FROM read_csv_auto('{dir}/canary.csv')
SELECT * FROM read_csv(['{dir}/canary.csv'])
SELECT * FROM read_text('{dir}/canary.txt')
SELECT * FROM read_blob('{dir}/canary.txt')
SELECT * FROM read_json('{dir}/canary.json')
SELECT * FROM read_json_auto('{dir}/canary.json')
SELECT * FROM read_json_objects('{dir}/canary.json')
SELECT * FROM read_ndjson('{dir}/canary.json')
SELECT * FROM read_ndjson_objects('{dir}/canary.json')
SELECT * FROM read_parquet('{dir}/canary.parquet')
SELECT * FROM parquet_scan('{dir}/canary.parquet')
SELECT * FROM parquet_metadata('{dir}/canary.parquet')
SELECT * FROM parquet_schema('{dir}/canary.parquet')
SELECT * FROM parquet_kv_metadata('{dir}/canary.parquet')
SELECT * FROM parquet_file_metadata('{dir}/canary.parquet')
SELECT * FROM parquet_bloom_probe('{dir}/canary.parquet', 'a', 1)
SELECT * FROM read_duckdb('{db}')
SELECT * FROM read_single_csv_file('{dir}/canary.csv')
SELECT * FROM sniff_csv('{dir}/canary.csv')
SELECT * FROM glob('{dir}/*')
SELECT * FROM glob('/*')
SELECT * FROM '{db}'
SELECT * FROM read_blob('{db}')
SELECT * FROM main.hidden
SELECT * FROM hidden
SELECT * FROM "hidden"
SELECT * FROM memory.main.samples
SELECT * FROM main.samples
SELECT * FROM information_schema.tables
SELECT * FROM information_schema.columns
SELECT * FROM information_schema.schemata
SELECT * FROM pg_catalog.pg_class
SELECT * FROM pg_class
SELECT * FROM pg_tables
SELECT * FROM sqlite_master
SELECT * FROM sqlite_schema
SELECT * FROM duckdb_tables
SELECT * FROM duckdb_tables()
SELECT * FROM duckdb_columns()
SELECT * FROM duckdb_settings()
SELECT * FROM duckdb_secrets()
SELECT * FROM duckdb_databases()
SELECT * FROM duckdb_extensions()
SELECT * FROM duckdb_functions()
SELECT * FROM duckdb_views()
SELECT * FROM duckdb_logs
SELECT * FROM duckdb_variables()
SELECT * FROM duckdb_memory()
SELECT * FROM duckdb_temporary_files()
SELECT * FROM duckdb_prepared_statements()
SELECT * FROM duckdb_external_file_cache()
SELECT * FROM pragma_table_info('samples')
SELECT * FROM pragma_database_size()
SELECT * FROM pragma_storage_info('samples')
SELECT * FROM pragma_show('samples')
SELECT * FROM pragma_version()
SELECT * FROM which_secret('s3://x', 's3')
SELECT * FROM query('SELECT * FROM hidden')
SELECT * FROM query_table('hidden')
SELECT * FROM query_table(['samples', 'hidden'])
SELECT * FROM json_execute_serialized_sql(json_serialize_sql('SELECT * FROM hidden'))
SELECT json_serialize_sql('SELECT 1')
SELECT json_deserialize_sql(json_serialize_sql('SELECT 1'))
SELECT json_serialize_plan('SELECT * FROM hidden')
SELECT getenv('CANARY')
SELECT system.main.getenv('CANARY')
SELECT 'CANARY'.getenv()
SELECT "getenv"('CANARY')
SELECT GetEnv('CANARY')
SELECT list_transform(['CANARY'], lambda x: getenv(x))
SELECT list_transform(['CANARY'], x -> getenv(x))
SELECT list_aggregate([1], 'getenv')
SELECT apply('getenv', 'CANARY')
SELECT current_setting('home_directory')
SELECT current_setting('secret_directory')
SELECT getvariable('x')
SELECT current_user
SELECT user
SELECT session_user
SELECT current_database()
SELECT current_schema()
SELECT current_schemas(true)
SELECT current_query()
SELECT current_connection_id()
SELECT version()
SELECT nextval('series_ids')
SELECT currval('series_ids')
SELECT setseed(0.5)
SELECT txid_current()
SELECT pg_get_viewdef(1)
SELECT write_log('x')
SELECT sleep_ms(100000)
SELECT pg_sleep(100)
SELECT sql_auto_complete('SEL')
SELECT parse_duckdb_log_message('FileSystem', 'x')
SELECT create_sort_key(1, 'ASC')
SELECT error('x')
SELECT st_astext(1)
SELECT in_search_path('a', 'b')
SELECT has_table_privilege('hidden', 'SELECT')
SELECT 'hidden'::regclass
SELECT CAST('x' AS hidden)
SELECT add_parquet_key('k', 'v')
COPY samples TO '{dir}/out.csv'
COPY (SELECT 1) TO '{dir}/out.parquet'
COPY samples FROM '{dir}/canary.csv'
COPY FROM DATABASE memory TO x
EXPORT DATABASE '{dir}/out'
IMPORT DATABASE '{dir}/out'
ATTACH '{db}' AS x
ATTACH '{dir}/out.duckdb'
ATTACH ':memory:' AS x
DETACH memory
USE memory
INSTALL httpfs
INSTALL '{dir}/x.duckdb_extension'
LOAD httpfs
LOAD '{dir}/x.duckdb_extension'
FORCE INSTALL httpfs FROM community
UPDATE EXTENSIONS
SET threads = 64
SET memory_limit = '100GB'
SET GLOBAL enable_external_access = true
SET SESSION lock_configuration = false
SET VARIABLE x = 1
RESET enable_external_access
RESET lock_configuration
PRAGMA database_list
PRAGMA enable_logging
PRAGMA memory_limit='100GB'
PRAGMA table_info('samples')
PRAGMA version
CALL pragma_version()
CALL duckdb_settings()
CHECKPOINT
FORCE CHECKPOINT
VACUUM
ANALYZE
CREATE TABLE x AS SELECT 1
CREATE TEMP TABLE x AS SELECT 1
CREATE VIEW x AS SELECT 1
CREATE OR REPLACE VIEW samples AS SELECT 1
CREATE MACRO x() AS getenv('CANARY')
CREATE SECRET x (TYPE s3)
CREATE SCHEMA x
CREATE SEQUENCE x
CREATE TYPE x AS ENUM ('a')
CREATE INDEX x ON samples (ts)
DROP TABLE samples
DROP VIEW samples
ALTER TABLE samples ADD COLUMN x INT
INSERT INTO samples VALUES (1)
UPDATE samples SET value = 0
DELETE FROM samples
TRUNCATE samples
MERGE INTO samples USING series ON true WHEN MATCHED THEN DELETE
BEGIN
COMMIT
ROLLBACK
PREPARE x AS SELECT * FROM hidden
EXECUTE x
DEALLOCATE x
EXPLAIN SELECT * FROM hidden
EXPLAIN ANALYZE SELECT 1
DESCRIBE samples
DESCRIBE SELECT * FROM samples
SHOW TABLES
SHOW ALL TABLES
SHOW DATABASES
SUMMARIZE samples
FROM (SHOW TABLES)
FROM (DESCRIBE hidden)
FROM (SUMMARIZE hidden)
COMMENT ON TABLE samples IS 'x'
WITH x AS (DELETE FROM samples RETURNING *) SELECT * FROM x
WITH x AS (INSERT INTO samples VALUES (1) RETURNING *) FROM x
WITH x AS (UPDATE samples SET value = 0 RETURNING *) FROM x
SELECT 1; SELECT 2
SELECT 1; DROP TABLE samples
SELECT 1; ATTACH '{db}' AS x; SELECT * FROM x.hidden
SELECT 1 /* ; */ ; COPY samples TO '{dir}/out.csv' --
; ; DROP TABLE samples
WITH pg_class AS (SELECT * FROM pg_class) SELECT * FROM pg_class
WITH x AS (SELECT * FROM hidden) SELECT * FROM x
WITH hidden AS (SELECT * FROM hidden) SELECT * FROM hidden
WITH RECURSIVE hidden AS (SELECT * FROM hidden) SELECT * FROM hidden
WITH "{dir}/canary.csv" AS (SELECT 1) SELECT * FROM (SELECT * FROM "{dir}/canary.csv")
SELECT * FROM (WITH hidden AS (SELECT 1) SELECT * FROM hidden) a, hidden
WITH a AS (SELECT * FROM hidden), hidden AS (SELECT 1) SELECT * FROM a
WITH a AS MATERIALIZED (SELECT * FROM read_text('{dir}/canary.txt')) FROM a
SELECT (SELECT max(secret) FROM hidden)
SELECT * FROM samples WHERE EXISTS (SELECT 1 FROM hidden)
SELECT * FROM samples WHERE metric IN (SELECT secret FROM hidden)
SELECT * FROM samples s, LATERAL (SELECT * FROM hidden) x
SELECT * FROM samples UNION ALL BY NAME SELECT * FROM hidden
SELECT * FROM samples EXCEPT SELECT * FROM hidden
SELECT * FROM samples POSITIONAL JOIN hidden
SELECT * FROM samples ASOF JOIN hidden ON samples.ts >= hidden.ts
SELECT * FROM samples ORDER BY (SELECT secret FROM hidden)
SELECT * FROM samples LIMIT (SELECT count(*) FROM hidden)
SELECT * FROM samples LIMIT 1 OFFSET (SELECT length(content) FROM read_text('{dir}/canary.txt'))
SELECT sum(value) FILTER (WHERE EXISTS (FROM hidden)) FROM samples
SELECT sum(value) OVER (PARTITION BY (SELECT max(secret) FROM hidden)) FROM samples
SELECT CASE WHEN true THEN (SELECT max(secret) FROM hidden) END
SELECT COLUMNS(lambda c: getenv(c) IS NULL) FROM samples
SELECT * REPLACE (getenv('CANARY') AS value) FROM samples
SELECT * FROM (VALUES ((SELECT max(secret) FROM hidden)))
SELECT DISTINCT ON ((SELECT secret FROM hidden)) * FROM samples
SELECT * FROM samples QUALIFY (SELECT count(*) FROM hidden) > 0
SELECT * FROM samples TABLESAMPLE 10% AT (VERSION => 1)
PIVOT samples ON metric USING max((SELECT max(secret) FROM hidden))
PIVOT hidden ON secret USING count(*)
UNPIVOT hidden ON secret INTO NAME a VALUE b
FROM hidden PIVOT (count(*) FOR secret IN ('a'))
TABLE hidden
FROM hidden
VALUES ((SELECT max(secret) FROM hidden))
(SELECT * FROM hidden)
((FROM read_csv('{dir}/canary.csv')))
SELECT $1
SELECT ?
SELECT * FROM samples AT (VERSION => 3)
SELECT * FROM \u0068idden
SELECT * FROM ｈidden
SELECT * FROM\u00a0hidden
SELECT\u2003*\u2003FROM\u2003read_text('{dir}/canary.txt')
SELECT g\u0435tenv('CANARY')
SELECT * FROM U&"hidden"
SELECT/**/*/**/FROM/**/hidden
SELECT * FROM --x\\nhidden
select*from"hidden"
SeLeCt * fRoM HiDdEn
SELECT * FROM 'hidden'
SELECT * FROM samples JOIN '{dir}/canary.csv' ON true
SELECT * FROM unnest((SELECT list(secret) FROM hidden))
SELECT * FROM range((SELECT count(*) FROM hidden))
SELECT * FROM repeat('x', 10)
SELECT * FROM repeat_row('x', num_rows := 10)
SELECT * FROM test_all_types()
SELECT * FROM seq_scan('hidden')
SELECT * FROM arrow_scan(1, 2, 3)
SELECT * FROM pandas_scan(1)
SELECT * FROM python_map_function(1)
SELECT * FROM summary((SELECT * FROM hidden))
SELECT * FROM enable_logging()
SELECT * FROM checkpoint()
SELECT * FROM force_checkpoint()
SELECT * FROM histogram_values(hidden, secret)
SELECT * FROM icu_calendar_names()
SELECT * FROM json_each('{"a": 1}'), hidden
SELECT * FROM df
SELECT * FROM connection
""".strip().split("\n")  # noqa: SIM905 (a line each reads better)

# Each must be over at its limit, or sooner, and leave the app's memory as it was.
BOMBS = {
    "repeat": "SELECT sum(length(repeat('x' || i, 50000000))) FROM range(1000) t(i)",
    "lpad": "SELECT sum(length(lpad('x', 100000000, 'ab'))) FROM range(1000)",
    "range": "SELECT list_sum(range(2000000000))",
    "cross joins": "SELECT count(*) FROM range(9000000) a(i), range(9000000) b(j), range(9) c(k) WHERE i * j = k - 7",
    "levenshtein": "SELECT sum(levenshtein(repeat('a' || i, 20000), repeat('b' || i, 20000))) FROM range(1000) t(i)",
    "string_split": "SELECT len(string_split(repeat('a,', 200000000), ','))",
    "recursive CTE": "WITH RECURSIVE t(s) AS (SELECT 'x' UNION ALL SELECT s || s FROM t) SELECT count(*) FROM t",
    "endless recursion": "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT max(n) FROM t",
    "list functions": "SELECT len(list_sort(list_transform(range(500000000), lambda x: hash(x)))) FROM range(100)",
    "regexp": "SELECT sum(len(regexp_extract_all(repeat('a' || i, 99999), '(a*)*(b|a)*'))) FROM range(999999) t(i)",
    "aggregate of texts": "SELECT length(string_agg(repeat('x', 1000), '')) FROM range(100000000)",
    "sort": "SELECT md5(i::VARCHAR) AS m FROM range(1000000000) t(i) ORDER BY m LIMIT 5 OFFSET 500000000",
    "printf": "SELECT printf('%2000000000d', 1)",
    "nested parentheses": "SELECT " + "(" * 9000 + "1" + ")" * 9000,
    "wide rows": "SELECT repeat('x', 1000000) FROM range(1000000)",
    "nested lists": "SELECT list_transform(range(100000), lambda x: list_transform(range(100000), lambda y: x * y))",
}

# Honest ones: all must run, and the fuzzer takes them apart.
HONEST = """
SELECT * FROM samples LIMIT 5
SELECT metric, host, avg(value) FROM samples GROUP BY ALL ORDER BY 3 DESC NULLS LAST
SELECT time_bucket(INTERVAL 5 minutes, ts) AS slot, max(value) FROM samples WHERE metric = 'up' GROUP BY 1 ORDER BY 1
SELECT s.metric, count(*) FROM samples s JOIN series n USING (series_id) WHERE n.kind = 'gauge' GROUP BY 1 HAVING 1 > 0
WITH a AS (SELECT host, max(value) AS m FROM samples GROUP BY host), b AS (SELECT * FROM a) SELECT * FROM b WHERE m > 0
WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 5) SELECT * FROM t
SELECT *, row_number() OVER (PARTITION BY host ORDER BY ts) AS n FROM samples QUALIFY n <= 2
SELECT host, quantile_cont(value, 0.95), stddev(value) FROM samples WHERE NOT isnan(value) GROUP BY host
SELECT labels['instance'], map_keys(labels) FROM series
SELECT ts, value - lag(value) OVER (PARTITION BY series_id ORDER BY ts) AS d FROM samples ORDER BY ts LIMIT 50
SELECT host, list(value ORDER BY ts)[1:3], string_agg(metric, ', ') FROM samples GROUP BY host
SELECT date_trunc('hour', ts), count(*) FILTER (WHERE value > 1) FROM samples GROUP BY 1
SELECT * FROM samples WHERE ts > now() - INTERVAL 30 years AND metric LIKE 'node%' LIMIT 3
SELECT * EXCLUDE (source) REPLACE (round(value, 1) AS value) FROM samples LIMIT 3
SELECT metric FROM samples UNION SELECT metric FROM series EXCEPT SELECT 'x' ORDER BY 1
SELECT host, CASE WHEN value > 1 THEN 'high' ELSE 'low' END AS level, count(*) FROM samples GROUP BY ALL
SELECT severity, explanation ->> 'sentence' FROM anomalies
SELECT a.host, l.verdict FROM anomalies a LEFT JOIN labels l ON l.host = a.host
SELECT * FROM annotations WHERE kind IN ('deploy', 'note') ORDER BY started_at
SELECT target, epoch(ended_at - started_at) FROM gaps
SELECT e.metric, e.low, s.value FROM expectations e ASOF JOIN samples s ON s.series_id = e.series_id AND s.ts >= e.ts
SELECT * FROM scores WHERE score > (SELECT avg(score) FROM scores)
SELECT x, x * 2 FROM range(10) t(x) WHERE x % 2 = 0
SELECT unnest([1, 2, 3]) AS n, list_transform([1, 2], lambda v: v + 1)
SELECT * FROM (FROM samples PIVOT (avg(value) FOR host IN ('h0', 'h1') GROUP BY metric)) LIMIT 3
SELECT try_cast(host AS INTEGER), value::DECIMAL(18, 3), strftime(ts, '%H:%M') FROM samples LIMIT 2
VALUES (1, 'a'), (2, 'b')
FROM series SELECT count(DISTINCT metric)
""".strip().split("\n")  # noqa: SIM905
