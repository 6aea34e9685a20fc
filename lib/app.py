"""The one place where parts are wired together."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from lib import frames, log, memory
from lib.audit.log import Audit
from lib.auth.actor import SYSTEM
from lib.db.database import Database
from lib.errors import StoreError
from lib.services import archiving_jobs
from lib.services.administration import Administration
from lib.services.archiving import Archiving
from lib.services.assistant import Assistant
from lib.services.changes import Changes
from lib.services.collection import Collection
from lib.services.datasets import Datasets
from lib.services.detection import Detection
from lib.services.evaluation import Evaluation
from lib.services.exploration import Exploration
from lib.services.forecasting import Forecasting
from lib.services.health import Health
from lib.services.importing import Importing
from lib.services.jobs import Jobs
from lib.services.promql import PromQL
from lib.services.querying import Querying
from lib.services.table_profiles import TableProfiles
from lib.services.texts import Texts
from lib.services.training import Training
from lib.services.training_setup import TrainingSetup
from lib.services.views import Views
from lib.settings import Settings
from lib.store.connection import Store
from lib.store.samples import Samples
from lib.tasks.runner import Runner
from lib.tasks.schedule import Schedule

logger = logging.getLogger(__name__)


@dataclass
class App:
    """Everything one process holds; made once by `build`, running between `start` and `stop`."""

    settings: Settings
    clock: Callable[[], datetime]
    database: Database
    store: Store
    samples: Samples
    runner: Runner
    schedule: Schedule
    audit: Audit
    administration: Administration
    collection: Collection
    importing: Importing
    exploration: Exploration
    evaluation: Evaluation
    promql: PromQL
    views: Views
    changes: Changes
    tables: TableProfiles
    datasets: Datasets
    training: Training
    training_setup: TrainingSetup
    detection: Detection
    forecasting: Forecasting
    assistant: Assistant
    texts: Texts
    archiving: Archiving
    jobs: Jobs
    querying: Querying
    health: Health

    def start(self) -> None:
        """Begin the work of a server: tasks, schedule, default sources. Nothing here blocks the first page."""
        self.runner.start()
        link = self.administration.ensure_administrator()
        print(f"\n  AutoOps is at {self.settings.public_url}\n", flush=True)
        if link:
            # Like Jupyter: whoever can read the console may take the keys, once.
            print(f"  First administrator, one-time link:\n  {link}\n", flush=True)
        self.schedule.every(1, "collect", self.collection.tick)
        self.schedule.every(60, "keep detectors", self.detection.maintain)
        self.schedule.every(300, "renew forecasts", self.forecasting.maintain)
        self.schedule.every(1, "give memory back", self.give_back)
        self.schedule.every(60, "end idle queries", self.querying.tidy)
        self.schedule.every(3600, "tidy tasks", self.runner.prune)
        self.schedule.every(3600, "tidy imports", self.importing.tidy)
        self.schedule.every(60, "archive", self.archiving.on_schedule)
        self.schedule.start()

    def give_back(self) -> None:
        """What pages, collections and detectors took since the last time, and allocators still keep."""
        self.store.give_back()
        memory.trim()

    def stop(self) -> None:
        self.schedule.stop()
        self.collection.stop()
        self.runner.stop()
        self.querying.close()
        self.store.close()
        self.database.close()


def build(
    settings: Settings | None = None, clock: Callable[[], datetime] = frames.utcnow, *, lasting: bool = False
) -> App:
    """Wire the parts. Opens files and migrates, starts no threads (that is `App.start`).

    lasting: for a process that is to stay small for long, at the price of a second at the first start.
    """
    memory.tune()
    settings = settings or Settings()
    log.configure(settings.log_level)
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"The data directory {settings.data_dir} cannot be made ({error.strerror or error}). Choose another with "
            "AUTOOPS_DATA_DIR, or make it for the user this runs as."
        ) from error
    database = Database(settings.resolved_database_url)
    database.migrate(apart=lasting)
    store = Store(settings.store_path, settings.store_memory_mb, archiving_jobs.place_of(settings))
    samples = Samples(store)
    audit = Audit(database, clock)
    runner = Runner(settings, database, clock)
    collection = Collection(settings, database, samples, runner, audit, clock)
    exploration = Exploration(settings, samples, clock)
    detection = Detection(settings, database, samples, runner, audit, clock)
    collection.on_collected.append(detection.update)
    collection.on_removed.append(detection.forget)
    assistant = Assistant(settings, database, exploration, detection, audit, clock)
    administration = Administration(settings, database, audit, clock)
    datasets = Datasets(settings, database, samples, runner, audit, clock, detection.anomalies)
    training = Training(settings, runner, audit, clock)
    datasets.dependants.append(training.made_of)
    schedule = Schedule()
    return App(
        settings=settings,
        clock=clock,
        database=database,
        store=store,
        samples=samples,
        runner=runner,
        schedule=schedule,
        audit=audit,
        administration=administration,
        collection=collection,
        importing=Importing(settings, samples, collection, runner, audit, clock),
        exploration=exploration,
        evaluation=Evaluation(settings, samples, clock),
        promql=PromQL(collection, clock),
        views=Views(database, audit, clock),
        changes=Changes(samples, clock),
        tables=TableProfiles(settings, runner, audit, clock),
        datasets=datasets,
        training=training,
        training_setup=TrainingSetup(datasets, training),
        detection=detection,
        forecasting=Forecasting(database, samples, runner, audit, clock),
        assistant=assistant,
        texts=Texts(settings, assistant.fallback, audit),
        archiving=Archiving(settings, samples, runner, audit, clock),
        jobs=Jobs(database, runner, audit),
        querying=Querying(settings, database, store, audit, clock, administration.guests_allowed),
        health=Health(
            settings,
            database,
            store,
            schedule,
            clock,
            sources=lambda: collection.status(SYSTEM),
            scoring=detection.scoring.timings,
            providers=assistant.fallback.status,
        ),
    )
