"""The Functions host's part: HTTP, timers, queue, and the storage emulator."""
