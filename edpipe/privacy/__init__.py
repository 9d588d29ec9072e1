"""Students leave what was derived from them, and a search proves it."""
