"""Metrics, baselines, equity and the report."""
