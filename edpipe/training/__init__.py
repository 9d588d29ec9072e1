"""Configuration and dataset to a trained model; the one place a Trainer is built."""
