"""The same past one machine: who is queued, what a message says, what its delivery does."""
