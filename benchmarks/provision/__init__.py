"""How long it takes from asking for accelerators to the first line of a job on them, stage by stage."""
