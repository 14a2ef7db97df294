"""Files, tables, classes, masks, run directories and errors. Imports no torch and needs no network."""
