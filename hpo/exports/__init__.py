"""A transfer plan as text for another library: one format a file, a ``FORMAT`` that ``registry`` finds. No torch here."""
