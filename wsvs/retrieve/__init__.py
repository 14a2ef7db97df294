"""Section 4 of the paper: videos of each class, cut into clips, with a manifest of their sources.

Sources: `youtube`, `urls` and `local` (a folder), all instances of `source.Source`; `web`, `pace` and `download` make
their requests. `crawl` goes from a search to the manifest and records its steps in `journal`; `keyframes`, `clips` and
`examine` make clips of a video. `folder` takes whole videos of a folder without scoring them. `manifest` is the
format that all of them write, `table` counts it.
"""
