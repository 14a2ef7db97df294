"""The report: one HTML page over the runs of a name, with numbers, thumbnails and templates."""
