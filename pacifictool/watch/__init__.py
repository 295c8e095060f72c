"""`watch`: what a person sees of the data on its way, in the terminal or on a local page.

`model` is what is shown at one moment. `platform`, `topic` and `job` each look at one part of the way, `collector`
keeps looking and puts a `Snapshot` together, `flow` says how the data gets from hop to hop. `terminal` and `lines` show
snapshots in a terminal, `web` on a page.
"""
