"""What ran when, and how it ended: one line a run of a step, kept in small files, read as ``ops.runs``."""
