"""Building blocks that know no plugin, no environment and no launcher."""
