"""LightningModules and the writers of predict loops: the shells around plain networks and functions."""
