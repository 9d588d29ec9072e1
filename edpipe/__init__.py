"""Education and recommendation data pipeline with forecasting."""
