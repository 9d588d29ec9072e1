"""SQL that cannot be the same on every engine, and inputs that only the manifests know."""
