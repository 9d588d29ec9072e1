"""How good synthetic windows are, and what a release of them tells of the real ones."""
