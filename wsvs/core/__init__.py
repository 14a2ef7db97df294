"""Files, tables, classes, masks, run directories and errors. Needs neither torch nor a network."""
