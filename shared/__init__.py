"""patrol keeps the Azure DevOps PATs of technical users fresh."""

__version__ = "0.1.0"
