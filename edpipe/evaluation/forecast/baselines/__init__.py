"""Forecasters to beat: they see what a model sees, and give a spread, too."""
