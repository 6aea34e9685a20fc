"""Everything a query may be made of. What is not listed here is refused, so what a new DuckDB brings is shut out."""

from __future__ import annotations

# Node of the syntax tree -> the fields it may have; a field nobody has looked at refuses the query.
_PLACE = frozenset({"alias", "class", "query_location", "query_location_length", "type"})
_CALL = frozenset({"arguments", "catalog", "distinct", "function_name", "qualified_name", "schema"})
_WINDOW = _CALL | {
    *("arg_orders", "default_expr", "end", "end_expr", "exclude_clause", "filter_expr", "has_ignore_nulls"),
    *("ignore_nulls", "offset_expr", "orders", "partitions", "start", "start_expr"),
}

# Class of an expression -> its types and fields.
EXPRESSIONS: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    name: (frozenset(types.split()), _PLACE | frozenset(fields))
    for name, types, fields in (
        ("BETWEEN", "COMPARE_BETWEEN", ("input", "lower", "upper")),
        ("CASE", "CASE_EXPR", ("case_checks", "else_expr")),
        ("CAST", "OPERATOR_CAST", ("child", "try_cast", "type_expr")),
        ("COLUMN_REF", "COLUMN_REF", ("column_names",)),
        (
            "COMPARISON",
            "COMPARE_DISTINCT_FROM COMPARE_EQUAL COMPARE_GREATERTHAN COMPARE_GREATERTHANOREQUALTO COMPARE_LESSTHAN "
            "COMPARE_LESSTHANOREQUALTO COMPARE_NOTEQUAL COMPARE_NOT_DISTINCT_FROM",
            ("left", "right"),
        ),
        ("CONJUNCTION", "CONJUNCTION_AND CONJUNCTION_OR", ("children",)),
        ("CONSTANT", "VALUE_CONSTANT", ("literal",)),
        ("FUNCTION", "FUNCTION", (*_CALL, "export_state", "filter", "is_operator", "order_bys")),
        ("LAMBDA", "LAMBDA", ("expr", "lhs", "syntax_type")),
        (
            "OPERATOR",
            "ARRAY_EXTRACT ARRAY_SLICE COMPARE_IN COMPARE_NOT_IN GROUPING_FUNCTION OPERATOR_COALESCE "
            "OPERATOR_IS_NOT_NULL OPERATOR_IS_NULL OPERATOR_NOT OPERATOR_TRY STRUCT_EXTRACT",
            ("children",),
        ),
        ("POSITIONAL_REFERENCE", "POSITIONAL_REFERENCE", ("index",)),
        (
            "STAR",
            "STAR",
            (
                *("columns", "exclude_list", "expr", "qualified_exclude_list", "relation_name", "rename_list"),
                "replace_list",
            ),
        ),
        ("SUBQUERY", "SUBQUERY", ("child", "comparison_type", "subquery", "subquery_type")),
        ("TYPE", "TYPE", ("catalog", "children", "qualified_name", "schema", "type_name")),
        (
            "WINDOW",
            "WINDOW_AGGREGATE WINDOW_CUME_DIST WINDOW_FILL WINDOW_FIRST_VALUE WINDOW_LAG WINDOW_LAST_VALUE WINDOW_LEAD "
            "WINDOW_NTH_VALUE WINDOW_NTILE WINDOW_PERCENT_RANK WINDOW_RANK WINDOW_RANK_DENSE WINDOW_ROW_NUMBER",
            tuple(_WINDOW),
        ),
    )
}

_NODE = frozenset({"cte_map", "modifiers", "type"})
_TABLE = frozenset({"alias", "query_location", "query_location_length", "sample", "type"})
_ORDER = frozenset({"expression", "null_order", "type"})

# Type of what is no expression -> its fields: whole queries, then tables, then ORDER BY, LIMIT and DISTINCT.
NODES: dict[str, frozenset[str]] = {
    "SELECT_NODE": _NODE
    | {
        *("aggregate_handling", "from_table", "group_expressions", "group_sets", "having", "qualify", "sample"),
        *("select_list", "where_clause"),
    },
    "SET_OPERATION_NODE": _NODE | {"children", "left", "right", "setop_all", "setop_type"},
    "RECURSIVE_CTE_NODE": _NODE | {"aliases", "cte_name", "key_targets", "left", "right", "union_all"},
    "BASE_TABLE": _TABLE
    | {"at_clause", "catalog_name", "column_name_alias", "qualified_name", "schema_name", "table_name"},
    "EMPTY": _TABLE,
    "EXPRESSION_LIST": _TABLE | {"expected_names", "expected_types", "values"},
    "JOIN": _TABLE
    | {
        *("condition", "delim_flipped", "duplicate_eliminated_columns", "is_implicit", "join_type", "left"),
        *("nearest_approx", "nearest_count", "nearest_order_type", "ranking_expression", "ref_type", "right"),
        "using_columns",
    },
    "PIVOT": _TABLE
    | {
        *("aggregates", "column_name_alias", "groups", "include_nulls", "pivots", "source", "unpivot_names"),
    },
    "SUBQUERY": _TABLE | {"column_name_alias", "subquery"},
    "TABLE_FUNCTION": _TABLE | {"column_name_alias", "function", "with_ordinality"},
    "DISTINCT_MODIFIER": frozenset({"distinct_on_targets", "type"}),
    "LIMIT_MODIFIER": frozenset({"limit", "limit_type", "offset", "type"}),
    "ORDER_MODIFIER": frozenset({"orders", "type"}),
    **dict.fromkeys(("ASCENDING", "DESCENDING", "ORDER_DEFAULT"), _ORDER),
}

# What has neither class nor type, by where it hangs.
PARTS: dict[str, frozenset[str]] = {
    "": frozenset({"named_param_map", "node"}),
    "subquery": frozenset({"named_param_map", "node"}),
    "arguments": frozenset({"expression", "name"}),
    "case_checks": frozenset({"then_expr", "when_expr"}),
    "entries": frozenset({"alias", "star_expr", "values"}),
    "key": frozenset({"catalog", "column", "schema", "table"}),
    "exclude_list": frozenset({"catalog", "column", "schema", "table"}),
    "qualified_exclude_list": frozenset({"catalog", "column", "schema", "table"}),
    "literal": frozenset({"kind", "text"}),
    "pivots": frozenset({"entries", "pivot_enum", "pivot_expressions", "unpivot_names"}),
    "qualified_name": frozenset({"path"}),
    "rename_list": frozenset({"key", "value"}),
    "replace_list": frozenset({"key", "value"}),
    "sample": frozenset({"is_percentage", "method", "repeatable", "sample_rate", "sample_size", "seed"}),
    "sample_size": frozenset({"is_null", "type", "value"}),
    # Values of a PIVOT's IN list and of a sample's size.
    "values": frozenset({"is_null", "type", "value"}),
    "type": frozenset({"id", "type_info"}),
}
# A named part of WITH.
CTE = frozenset({"aliases", "key_targets", "materialized", "payload_aggregates", "query_node"})

_TYPES = """
    array bigint bit bool boolean bytea blob char character date datetime decimal double float float4 float8 hugeint
    int int1 int16 int2 int32 int4 int64 int8 integer interval json list long logical map numeric nvarchar real row
    short signed smallint string struct text time timestamp timestamptz timestamp_ms timestamp_ns timestamp_s
    timestamp_us tinyint ubigint uhugeint uint128 uint16 uint32 uint64 uint8 uinteger usmallint utinyint uuid
    varchar
"""
TYPES = frozenset(_TYPES.split()) | {"double precision", "time with time zone", "timestamp with time zone"}

TABLE_FUNCTIONS = frozenset({"generate_series", "range", "unnest"})

# Names that read like columns and tell about the process.
_TELLING = """
    current_catalog current_database current_query current_role current_schema current_user session_user user
"""
TELLING_NAMES = frozenset(_TELLING.split())

_OPERATORS = """
    ! !~~ !~~* !__postfix != % & && * ** + - ->> / // < << <-> <= <=> <@ = > >= >> @ @> ^ ^@ | || ~ ~~ ~~* ~~~
"""
_NUMBERS = """
    abs acos acosh add asin asinh atan atan2 atanh bit_count cbrt ceil ceiling cos cosh cot degrees divide even exp
    factorial fdiv floor fmod gamma gcd greatest greatest_common_divisor isfinite isinf isnan lcm least
    least_common_multiple lgamma ln log log10 log2 mod multiply nextafter pi pow power radians random round
    round_even roundbankers sign signbit sin sinh sqrt subtract tan tanh trunc xor
"""
_TEXT = """
    ascii bar base64 bin char_length character_length chr concat concat_ws contains damerau_levenshtein decode
    editdist3 encode ends_with format format_bytes formatreadabledecimalsize formatreadablesize from_base64 from_hex
    hamming hash hex ilike_escape instr jaccard jaro_similarity jaro_winkler_similarity lcase left left_grapheme len
    length length_grapheme levenshtein like_escape lower lpad ltrim md5 mismatches nfc_normalize not_ilike_escape
    not_like_escape octet_length ord overlay parse_formatted_bytes position prefix printf regexp_escape
    regexp_extract regexp_extract_all regexp_full_match regexp_matches regexp_replace regexp_split_to_array repeat
    replace reverse right right_grapheme rpad rtrim sha1 sha256 split split_part starts_with str_split
    str_split_regex string_split string_split_regex string_to_array strip_accents strlen strpos substr substring
    substring_grapheme suffix to_base to_base64 to_hex translate trim ucase unhex unicode upper url_decode
    url_encode
"""
_TIMES = """
    ago century current_date current_localtime current_localtimestamp date_add date_diff date_part date_sub
    date_trunc datediff datepart datesub datetrunc day dayname dayofmonth dayofweek dayofyear days_in_month decade
    epoch epoch_ms epoch_ns epoch_us era get_current_time get_current_timestamp hour isodow isoyear julian last_day
    make_date make_time make_timestamp make_timestamp_ms make_timestamp_ns microsecond millennium millisecond minute
    month monthname nanosecond now quarter second strftime strptime time_bucket timezone to_centuries to_days
    to_decades to_hours to_microseconds to_millennia to_milliseconds to_minutes to_months to_quarters to_seconds
    to_timestamp to_weeks to_years today transaction_timestamp try_strptime week weekday weekofyear year yearweek
"""
_LISTS = """
    array_append array_cat array_concat array_contains array_distinct array_extract array_filter array_has
    array_has_all array_has_any array_indexof array_intersect array_length array_pop_back array_pop_front
    array_position array_prepend array_push_back array_push_front array_reverse array_reverse_sort array_select
    array_slice array_sort array_to_string array_transform array_unique array_value array_where array_zip
    cardinality element element_at flatten generate_series generate_subscripts index_key list_any_value list_append
    list_apply list_approx_count_distinct list_avg list_cat list_concat list_contains list_cosine_distance
    list_cosine_similarity list_count list_distance list_distinct list_dot_product list_element list_entropy
    list_extract list_filter list_first list_grade_up list_has list_has_all list_has_any list_histogram list_indexof
    list_inner_product list_intersect list_kurtosis list_last list_mad list_max list_median list_min list_mode
    list_pack list_position list_prepend list_product list_resize list_reverse list_reverse_sort list_select
    list_sem list_skewness list_slice list_sort list_stddev_pop list_stddev_samp list_string_agg list_sum
    list_transform list_unique list_value list_var_pop list_var_samp list_where list_zip map map_concat map_contains
    map_contains_entry map_contains_value map_entries map_extract map_extract_value map_from_entries map_keys
    map_values range row struct_concat struct_extract struct_extract_at struct_insert struct_keys struct_pack
    struct_values unnest
"""
_OTHERS = """
    coalesce constant_or_null if ifnull json_array_length json_exists json_extract json_extract_path
    json_extract_path_text json_extract_string json_keys json_structure json_type json_valid json_value nullif
    switch typeof uuid gen_random_uuid
"""
_AGGREGATES = """
    any_value approx_count_distinct approx_quantile approx_top_k arbitrary arg_max arg_max_null arg_min arg_min_null
    argmax argmin array_agg avg bit_and bit_or bit_xor bool_and bool_or corr count count_if count_star countif
    covar_pop covar_samp entropy equi_width_bins favg first fsum geomean geometric_mean group_concat histogram
    histogram_exact is_histogram_other_bin kahan_sum kurtosis kurtosis_pop last list listagg mad max max_by mean
    median min min_by mode percentile_cont percentile_disc product quantile quantile_cont quantile_disc regr_avgx
    regr_avgy regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy reservoir_quantile sem
    skewness stddev stddev_pop stddev_samp string_agg sum sum_no_overflow sumkahan var_pop var_samp variance wavg
    weighted_avg
"""
_WINDOWS = """
    cume_dist dense_rank fill first_value lag last_value lead nth_value ntile percent_rank rank rank_dense
    row_number
"""
FUNCTIONS = frozenset(" ".join((_OPERATORS, _NUMBERS, _TEXT, _TIMES, _LISTS, _OTHERS, _AGGREGATES, _WINDOWS)).split())
