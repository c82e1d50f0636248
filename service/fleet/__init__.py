"""The workers as last seen."""
