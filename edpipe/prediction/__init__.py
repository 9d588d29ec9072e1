"""A trained model and a table to a prediction table."""
