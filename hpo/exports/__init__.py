"""One export format a file: a transfer plan as text for another library. No torch here."""
