"""What ran when, how it ended, and what was decided: kept in small files, read as the tables of ``ops``."""
