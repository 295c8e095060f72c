"""A report of a run: facts from platform, topic and job (`collect`), drawn as a page or a picture (`write`)."""
