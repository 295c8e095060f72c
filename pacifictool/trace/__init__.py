"""`trace`: sends one marked reading, the probe, and follows it hop by hop. Changes nothing else."""
