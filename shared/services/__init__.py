"""One room for each service that patrol calls. Imports model and report; with wiring alone knows SDKs."""
