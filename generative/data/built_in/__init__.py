"""The data sources that come along. Every file here is imported to find its sources: what is heavy is imported when one opens."""
