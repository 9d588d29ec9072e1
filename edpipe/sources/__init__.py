"""Foreign files to raw Parquet: archives, formats, shards, manifests, rejects."""
