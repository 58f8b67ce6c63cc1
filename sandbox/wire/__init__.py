"""The HTTP of each service over its state."""
