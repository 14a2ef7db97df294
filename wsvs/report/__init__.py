"""The report: one HTML page over the runs of a name, its numbers, its thumbnails and its templates."""
