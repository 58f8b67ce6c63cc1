"""What a run tells, and what is kept of it. Imports model."""
