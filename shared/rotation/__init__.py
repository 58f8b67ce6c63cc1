"""A run: observe, plan, do. Imports model, rules and report; reaches services only as ports."""
