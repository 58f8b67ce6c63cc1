"""What each command does. Never imports functions."""
