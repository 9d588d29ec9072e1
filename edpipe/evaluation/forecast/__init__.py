"""Scores, intervals, baselines, calibration and backtests of forecasts."""
