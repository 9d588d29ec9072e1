"""Families of models behind the same verbs: tracing of knowledge, prediction of strategies."""
