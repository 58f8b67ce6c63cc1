"""Azure on a laptop: Entra ID, the PAT API, dev.azure.com, Key Vault and the managed identity endpoint, for tests.

Shares no code with the product. `README.md` in this folder says first what it does not do.
"""
