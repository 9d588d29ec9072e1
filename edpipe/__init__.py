"""Education and recommendation data pipeline with forecasting.

The verbs of the command line as functions: :func:`ingest`, :func:`plan`, :func:`build`, :func:`show`,
:func:`sql`, :func:`embed`, :func:`cluster`, :func:`train`, :func:`evaluate`, :func:`promote`,
:func:`rollback`, :func:`score`, :func:`forecast`, :func:`recommend`, :func:`refine`, :func:`synthesize`,
:func:`report`, :func:`drift`, :func:`status`, :func:`runs`, :func:`forget`, :func:`export`,
:func:`backup`, :func:`restore`, :func:`doctor`, :func:`demo`.
"""

from edpipe.api import build, demo, doctor, ingest, plan, publish, runs, show, sql, status
from edpipe.backing_up import backup, restore
from edpipe.drifting import drift
from edpipe.errors import EdpipeError
from edpipe.exporting import export
from edpipe.forecasting import forecast
from edpipe.forgetting import forget
from edpipe.going_back import rollback
from edpipe.learning import evaluate, promote, report, score, train, versions
from edpipe.recommending import recommend
from edpipe.refining import refine
from edpipe.representing import cluster, embed
from edpipe.settings import Settings, load_settings
from edpipe.synthesizing import synthesize

__version__ = "0.1.0"

__all__ = [
    "EdpipeError",
    "Settings",
    "__version__",
    "backup",
    "build",
    "cluster",
    "demo",
    "doctor",
    "drift",
    "embed",
    "evaluate",
    "export",
    "forecast",
    "forget",
    "ingest",
    "load_settings",
    "plan",
    "promote",
    "publish",
    "recommend",
    "refine",
    "report",
    "restore",
    "rollback",
    "runs",
    "score",
    "show",
    "sql",
    "status",
    "synthesize",
    "train",
    "versions",
]
