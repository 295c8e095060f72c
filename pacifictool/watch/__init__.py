"""`watch`: the data flow as a person sees it, in the terminal or on a local page.

`model` is one snapshot. `platform`, `topic` and `job` each poll one part, `collector` runs them and combines their
results, `flow` derives hops, flows and the verdict. `terminal` and `screen` show it in a terminal, `web` on a page.
"""
