"""Bills of Azure."""
