"""Prefect flows: order, retries, schedule, links; no work of their own."""
