"""The cloud as a process of its own: proxy, certificates, control, and what starts the product under its clock."""
