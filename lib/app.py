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
from lib.services import archiving_jobs, restores
from lib.services.administration import Administration
from lib.services.archiving import Archiving
from lib.services.assistant import Assistant
from lib.services.assistant_commands import Commands
from lib.services.assistant_data import Sight
from lib.services.backups import Backups
from lib.services.changes import Changes
from lib.services.collection import Collection
from lib.services.datasets import Datasets
from lib.services.deployments import Deployments
from lib.services.detection import Detection
from lib.services.drifting import Drifting
from lib.services.evaluation import Evaluation
from lib.services.experiments import Experiments
from lib.services.exploration import Exploration
from lib.services.forecasting import Forecasting
from lib.services.health import Health
from lib.services.importing import Importing
from lib.services.jobs import Jobs
from lib.services.model_uploads import ModelUploads
from lib.services.models import Models
from lib.services.pipelines import Pipelines
from lib.services.prediction import Prediction
from lib.services.prediction_files import PredictionFiles
from lib.services.prediction_log import PredictionLog
from lib.services.promql import PromQL
from lib.services.querying import Querying
from lib.services.releases import Releases
from lib.services.retraining import Retraining
from lib.services.suggestions import Suggestions
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
    suggestions: Suggestions
    training: Training
    pipelines: Pipelines
    training_setup: TrainingSetup
    detection: Detection
    forecasting: Forecasting
    assistant: Assistant
    texts: Texts
    archiving: Archiving
    backups: Backups
    jobs: Jobs
    querying: Querying
    models: Models
    model_uploads: ModelUploads
    prediction: Prediction
    prediction_files: PredictionFiles
    experiments: Experiments
    drifting: Drifting
    retraining: Retraining
    deployments: Deployments
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
        self.models.sweep()
        self.prediction.start()
        self.schedule.every(2, "write predictions", self.prediction.log.flush)
        self.schedule.every(300, "tidy predictions", self.prediction.log.prune)
        self.schedule.every(60, "end idle models", self.models.tidy)
        self.schedule.every(300, "look for drift", self.drifting.on_schedule)
        self.schedule.every(300, "train again", self.retraining.on_schedule)
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
        self.models.close()
        self.prediction.log.close()
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
    restores.settle(settings)
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
    releases = Releases(collection, clock)
    collection.on_collected.append(releases.learn)
    changes, forecasting = Changes(samples, clock), Forecasting(database, samples, runner, audit, clock)
    administration = Administration(settings, database, audit, clock)
    querying = Querying(settings, database, store, audit, clock, administration.guests_allowed)
    commands = Commands(database, collection, detection, forecasting, audit, clock)
    sight = Sight(exploration, detection, collection, changes, forecasting, querying, commands)
    assistant = Assistant(settings, database, sight, audit, clock)
    models = Models(settings, database, audit, clock)
    predicted = PredictionLog(settings, database, clock)
    prediction = Prediction(models, predicted, clock)
    experiments = prediction.experiments = Experiments(models, predicted, audit, clock)
    models.on_promoted.append(prediction.warm)
    datasets = Datasets(settings, database, samples, runner, audit, clock, detection.anomalies)
    training, suggestions = Training(settings, runner, audit, clock), Suggestions(datasets, runner, clock)
    datasets.dependants.append(training.made_of)
    pipelines = Pipelines(database, datasets, training, audit, clock, suggestions)
    setup = TrainingSetup(datasets, training, models)
    setup.pipelines.append(pipelines.plans_for)
    drifting = Drifting(models, datasets, predicted, runner, audit, clock)
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
        changes=changes,
        evaluation=Evaluation(settings, samples, clock, releases.of),
        promql=PromQL(collection, clock),
        views=Views(database, audit, clock),
        tables=TableProfiles(settings, runner, audit, clock),
        datasets=datasets,
        suggestions=suggestions,
        training=training,
        pipelines=pipelines,
        training_setup=setup,
        detection=detection,
        forecasting=forecasting,
        assistant=assistant,
        texts=Texts(settings, assistant.fallback, audit, assistant.cover),
        archiving=Archiving(settings, samples, runner, audit, clock),
        backups=Backups(settings, store, database, runner, audit, clock),
        jobs=Jobs(database, runner, audit),
        querying=querying,
        models=models,
        model_uploads=ModelUploads(models, audit),
        prediction=prediction,
        prediction_files=PredictionFiles(models, datasets, runner, audit, clock),
        experiments=experiments,
        drifting=drifting,
        retraining=Retraining(models, datasets, setup, drifting, audit, clock),
        deployments=Deployments(models, clock),
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
