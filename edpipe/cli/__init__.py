"""The `edpipe` command: parse, call one verb, print."""

from edpipe.cli.main import app, main

__all__ = ["app", "main"]
