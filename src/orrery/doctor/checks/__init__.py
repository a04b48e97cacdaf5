"""The checks, by what they are about: each says what is wrong in a snapshot, and nothing else."""
