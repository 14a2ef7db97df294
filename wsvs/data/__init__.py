"""Data: tagged images, shots and pseudo-labelled frames for the networks, and the synthetic data set of the demo."""
