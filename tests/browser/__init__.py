"""The page in a real browser; a package, so that fixtures of its scope end with it."""
