"""LightningModules and prediction writers around plain networks and functions."""
