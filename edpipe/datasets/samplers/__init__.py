"""Which training instances to keep when a budget allows only some."""
