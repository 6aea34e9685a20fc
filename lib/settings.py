"""Every setting in one place, read once: environment variables, or Streamlit secrets of the same names."""

from __future__ import annotations

from enum import StrEnum
from functools import cached_property
from pathlib import Path

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

ROOT = Path(__file__).resolve().parent.parent


class TaskMode(StrEnum):
    """Where long jobs run."""

    CHILD = "child"  # a process each: memory cap, hard cancel
    THREAD = "thread"  # a thread of the app: for hosts where memory is tight; cancel is cooperative


class LlmMode(StrEnum):
    """Which language model answers in chat."""

    AUTO = "auto"  # Gemini, then OpenAI, then offline
    GEMINI = "gemini"
    OPENAI = "openai"
    OFFLINE = "offline"  # nothing leaves the machine


class Settings(BaseSettings):
    """Names in the environment carry the prefix AUTOOPS_, but for those with a name the world already knows."""

    model_config = SettingsConfigDict(env_prefix="AUTOOPS_", extra="ignore", populate_by_name=True)

    data_dir: Path = Field(ROOT / "data", description="Where runtime files live: DuckDB, SQLite, task logs.")
    models_dir: Path = Field(ROOT / "models", description="Where trained models are kept.")
    database_url: str = Field(
        "",
        description="App data. Empty: SQLite in the data directory. PostgreSQL: postgresql+psycopg://user:password@host/name.",
        validation_alias=AliasChoices("DATABASE_URL", "AUTOOPS_DATABASE_URL"),
    )
    log_level: str = Field("INFO", description="DEBUG, INFO, WARNING or ERROR.")
    public_url: str = Field(
        "http://localhost:8501", description="How browsers reach the app; used in links and for cookies."
    )

    demo: bool = Field(
        True, description="Load the bundled demo history and this machine's metrics while no source is configured."
    )
    guests: bool = Field(True, description="Let visitors look around the demo, read-only, without an account.")
    admin_username: str = Field("admin", description="Name of the first administrator.")
    admin_password: SecretStr = Field(
        SecretStr(""),
        description="Creates the first administrator on hosts without a console. Unset: a one-time link is printed.",
    )
    session_hours: float = Field(12, gt=0, description="How long a sign-in lasts.")
    lockout_failures: int = Field(5, ge=1, description="Failed sign-ins per account and address before a lockout.")
    lockout_minutes: float = Field(
        5, gt=0, description="The span failures are counted over, and how long a lockout lasts."
    )
    secret_key: SecretStr = Field(
        SecretStr(""),
        description="Seals stored source credentials; 16 random characters or more. Empty: data/secret.key is made.",
    )
    trusted_proxies: int = Field(
        0, ge=0, description="Reverse proxies in front of the app whose X-Forwarded-For may be believed. 0: none."
    )
    allowed_hosts: str = Field(
        "",
        description="Further host names browsers may use, comma-separated; * for any. The name in AUTOOPS_PUBLIC_URL, "
        "localhost, IP addresses and names without a dot always may.",
    )
    cors_origins: str = Field(
        "", description="Comma-separated origins that may call the API from a browser. Empty: none."
    )
    frame_ancestors: str = Field(
        "'self'",
        description="Who may show the app in a frame, as the header has it: 'self', 'none' or origins with spaces.",
    )
    api_body_mb: float = Field(1, gt=0, description="Largest body an API request may have.")
    api_rate_per_minute: int = Field(120, ge=1, description="API requests a minute for each key or address.")

    prometheus_url: str = Field("", description="A Prometheus-compatible source to add at first start.")
    source_schemes: str = Field("http,https", description="URL schemes a source may use.")
    allow_link_local: bool = Field(False, description="Allow sources at link-local and cloud metadata addresses.")
    source_timeout_s: float = Field(30, gt=0, description="Total time one request to a source may take.")
    source_max_mb: float = Field(256, gt=0, description="Largest body read from a source in one request.")
    source_max_series: int = Field(2000, ge=1, description="Series a collected metric may have before it is refused.")
    promql_release: int = Field(
        3, ge=2, le=3, description="Prometheus release whose rules rate and its like follow on Explore: 2 or 3."
    )
    collect_interval_s: float = Field(
        15, ge=1, description="How often sources are collected unless a source says otherwise."
    )

    upload_max_mb: float = Field(
        200, gt=0, description="Largest file that can be uploaded, to be profiled or imported."
    )

    dataset_max_mb: float = Field(2048, gt=0, description="Largest data a dataset may be made from, unpacked.")
    dataset_max_rows: int = Field(50_000_000, ge=1, description="Rows a dataset may have.")
    dataset_max_columns: int = Field(2000, ge=1, description="Columns a dataset may have.")

    store_memory_mb: int = Field(512, ge=64, description="Memory DuckDB may use before it spills to disk.")
    archive_hot_days: int = Field(
        7,
        ge=0,
        description="Whole days kept in DuckDB before they are archived as Parquet, an eighth of the size. 0: never.",
    )
    archive_raw_days: int = Field(
        0, ge=0, description="Samples are removed after this many days; sums of 5 minutes and 1 hour stay. 0: never."
    )
    archive_minutes_days: int = Field(
        0, ge=0, description="Sums of 5 minutes are removed after this many days. 0: never."
    )
    archive_hours_days: int = Field(0, ge=0, description="Sums of 1 hour are removed after this many days. 0: never.")
    archive_url: str = Field(
        "", pattern=r"^(s3://\S+)?$", description="Where archived days go: s3://bucket/prefix. Empty: data/archive."
    )
    archive_endpoint: str = Field(
        "", pattern=r"^(https?://\S+)?$", description="Address of an S3-compatible server. Empty: Amazon's."
    )
    archive_key: SecretStr = Field(SecretStr(""), description="Access key for the bucket. Empty: as boto finds it.")
    archive_secret: SecretStr = Field(SecretStr(""), description="Secret key for the bucket.")
    archive_cache_mb: int = Field(1024, ge=1, description="Archived files of a bucket kept on this machine.")
    archive_timeout_s: float = Field(
        15, gt=0, description="How long a bucket's server may be silent; it is asked twice."
    )
    models_url: str = Field(
        "",
        pattern=r"^(s3://\S+)?$",
        description="Where served models go: s3://bucket/prefix, with the archive's keys. Empty: the models directory.",
    )
    model_max_mb: float = Field(200, gt=0, description="Largest model file that can be uploaded.")
    serve_memory_mb: int = Field(1024, ge=384, description="Memory cap of the process that serves models.")
    predictions_logged: float = Field(
        1, ge=0, le=1, description="Share of predictions kept with their inputs, for drift. 0: none, tests excepted."
    )
    drift_watch: float = Field(0.1, gt=0, le=10, description="PSI or KS from which a model's column is watched.")
    drift_limit: float = Field(0.25, gt=0, le=10, description="PSI or KS from which a model's column has drifted.")
    predictions_kept: int = Field(20000, ge=100, description="Kept predictions of a model; older ones are removed.")

    task_mode: TaskMode = Field(
        TaskMode.CHILD, description="child: a process a job. thread: a thread of the app, for small hosts."
    )
    task_memory_mb: int = Field(2048, ge=256, description="Memory cap of one job's process.")
    task_deadline_s: float = Field(3600, gt=0, description="A job running longer than this is ended.")
    task_concurrency: int = Field(2, ge=1, description="Jobs that run at the same time.")
    task_queue_limit: int = Field(200, ge=1, description="Tasks that may wait at the same time.")
    task_keep_days: float = Field(30, gt=0, description="Ended tasks and their logs are removed after this many days.")

    dask_scheduler_address: str = Field(
        "",
        pattern=r"^((tcp|tls)://\S+)?$",
        description="A Dask scheduler (tcp://host:8786) that trainings, detectors and forecasts run on. Empty: here.",
        validation_alias=AliasChoices("DASK_SCHEDULER_ADDRESS", "AUTOOPS_DASK_SCHEDULER_ADDRESS"),
    )
    dask_fallback: bool = Field(False, description="Run jobs here while the Dask scheduler does not answer.")
    dask_timeout_s: float = Field(10, gt=0, description="How long the Dask scheduler may be silent.")
    dask_ship_mb: int = Field(
        512, ge=1, description="Files shipped with a job to Dask workers that do not see the data directory."
    )
    dask_boost_rows: int = Field(
        1_000_000, ge=1, description="Tables with more rows have XGBoost trained over all Dask workers at once."
    )

    sql_seconds: float = Field(20, gt=0, description="A query on the SQL page running longer than this is ended.")
    sql_memory_mb: int = Field(512, ge=320, description="Memory cap of the process that runs such a query.")

    llm_mode: LlmMode = Field(LlmMode.AUTO, description="auto, gemini, openai or offline.")
    llm_deadline_s: float = Field(45, gt=0, description="Total time one chat answer may take over all providers.")
    llm_pseudonyms: bool = Field(
        True, description="Hosts and label values go to a provider under made-up names, put back in its answer."
    )
    llm_prices: str = Field(
        "gemini-2.5-flash=0.30/2.50 gpt-4o-mini=0.15/0.60",
        pattern=r"^(\s*[^\s=]+=\d+(\.\d+)?/\d+(\.\d+)?\s*)*$",
        description="US dollars a million tokens sent/received by model, for the cost shown. See your provider's list.",
    )
    gemini_api_key: SecretStr = Field(
        SecretStr(""),
        description="Key for Gemini.",
        validation_alias=AliasChoices("GEMINI_API_KEY", "GOOGLE_API_KEY", "AUTOOPS_GEMINI_API_KEY"),
    )
    gemini_model: str = Field("gemini-2.5-flash", description="Gemini model name.")
    gemini_endpoint: str = Field("", description="Another address for the Gemini API. Empty: Google's.")
    openai_api_key: SecretStr = Field(
        SecretStr(""),
        description="Key for OpenAI.",
        validation_alias=AliasChoices("OPENAI_API_KEY", "AUTOOPS_OPENAI_API_KEY"),
    )
    openai_model: str = Field("gpt-4o-mini", description="OpenAI model name.")
    openai_base_url: str = Field(
        "",
        description="Any OpenAI-compatible address, a local model server too. Empty: OpenAI's.",
        validation_alias=AliasChoices("OPENAI_BASE_URL", "AUTOOPS_OPENAI_BASE_URL"),
    )

    @property
    def token_prices(self) -> dict[str, tuple[float, float]]:
        """Model -> US dollars a token sent, received. A model that is not listed has no known price."""
        pairs = (one.rpartition("=") for one in self.llm_prices.split())
        return {model: (float(a) / 1e6, float(b) / 1e6) for model, _, both in pairs for a, b in [both.split("/")]}

    @cached_property
    def resolved_database_url(self) -> str:
        if not self.database_url:
            return f"sqlite:///{self.data_dir / 'app.sqlite'}"
        # Hosts hand out the two historic spellings; psycopg 3 is the driver that is installed.
        for old in ("postgres://", "postgresql://"):
            if self.database_url.startswith(old):
                return "postgresql+psycopg://" + self.database_url.removeprefix(old)
        return self.database_url

    @property
    def store_path(self) -> Path:
        return self.data_dir / "metrics.duckdb"

    @property
    def tasks_dir(self) -> Path:
        return self.data_dir / "tasks"
