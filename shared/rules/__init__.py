"""Decisions, pure: no network, no clock, no chance. Imports model."""
