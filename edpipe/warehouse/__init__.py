"""DuckDB and SQLMesh: builds, reconciliation, publishing, queries. The only package that imports them."""
