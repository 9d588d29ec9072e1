"""Scores of predicted strategies: metrics, baselines, mastery groups, intervals, learning curves."""
