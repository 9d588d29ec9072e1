"""The `edpipe` command: parse, call one verb, print."""

from edpipe.cli.command import app, main

__all__ = ["app", "main"]
