"""Education and recommendation data pipeline with forecasting.

The verbs of the command line as functions: :func:`ingest`, :func:`plan`, :func:`build`, :func:`show`,
:func:`sql`, :func:`train`, :func:`evaluate`, :func:`promote`, :func:`score`, :func:`report`,
:func:`status`, :func:`doctor`, :func:`demo`.
"""

from edpipe.api import (
    build,
    ingest,
    plan,
    publish,
    show,
    sql,
    status,
)
from edpipe.errors import EdpipeError
from edpipe.settings import Settings, load_settings

__version__ = "0.1.0"

__all__ = [
    "EdpipeError",
    "Settings",
    "__version__",
    "build",
    "ingest",
    "load_settings",
    "plan",
    "publish",
    "show",
    "sql",
    "status",
]
