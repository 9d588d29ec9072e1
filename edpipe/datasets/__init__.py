"""Tables to batches: splits, memory-mapped interactions, data modules."""
