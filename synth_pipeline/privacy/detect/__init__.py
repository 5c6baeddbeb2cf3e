"""Finding personal data: by pattern, by column name, by dictionary."""
