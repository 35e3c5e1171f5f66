"""Data sources of the generative models, all offline: `open_data(DataConfig("mnist5k"))`, read in order by a `Stream`."""
