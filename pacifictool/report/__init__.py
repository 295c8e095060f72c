"""What a run looked like, to keep: collected from platform, topic and job (`collect`), and drawn (`write`)."""
