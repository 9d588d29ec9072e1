"""Diffusion models of time series: one for any question asked of a series, and quick forecasters."""
