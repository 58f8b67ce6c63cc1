"""pats.yaml in, every mistake told. Imports model; alone knows YAML, and pydantic."""
