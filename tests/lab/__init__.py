"""Helpers of the tests: the lab, fakes, scenarios."""
