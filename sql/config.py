"""SQLMesh's own entry point, so that `sqlmesh -p sql …` sees the same project as `edpipe build`."""

from edpipe.settings import load_settings
from edpipe.warehouse.project import sqlmesh_config

config = sqlmesh_config(load_settings())
