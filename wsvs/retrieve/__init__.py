"""Section 4 of the paper: videos of each class, cut into clips, with a manifest that says where each came from.

Sources: `youtube`, `urls` and `local` (a folder), all seen as `source.Source`; `web`, `polite` and `download` make
their requests. `crawl` is the way from a search to the manifest, with `journal` as its memory; `keyframes`, `clips` and
`examine` make clips of a video. `folder` takes whole videos of a folder without looking at them. `manifest` is the
format that all of them write, `table` counts it.
"""
