"""The state of Entra ID, Azure DevOps, Key Vault and SonarQube, pure: no HTTP."""
