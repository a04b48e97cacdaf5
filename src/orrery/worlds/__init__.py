"""What Worlds mean: which a node takes, in which order, and what is wrong with one."""
