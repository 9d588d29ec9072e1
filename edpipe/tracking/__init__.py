"""Runs, registry and model cards; the only package that imports mlflow."""
