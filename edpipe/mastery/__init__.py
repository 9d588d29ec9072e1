"""Who has mastered what, who is alike, and which strategies go together."""
