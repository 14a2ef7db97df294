"""Section 4 of the paper: videos of each class, cut into clips, with a manifest that says where each came from.

`manifest` holds the format that all sources share; `folder` reads videos from a local folder.
"""
