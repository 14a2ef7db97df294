"""Section 3.2 of the paper: from the frames of a video and their attention to one mask per frame.

Read in this order: `relevance` (which frames), `superpixels` (the nodes of the graph), `flow` and
`inside_outside` (the motion term M), `appearance` (the colour term C), `graph` (the edges and the cut),
`settings`, `frame_graph` (one pass over the frames), `segmentation` (Eq. 3-5). All of these are functions of
arrays: no network, no files.
"""
