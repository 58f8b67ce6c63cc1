"""Words and frozen values. Imports nothing of patrol."""
