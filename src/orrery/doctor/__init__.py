"""What is wrong with a home and its hosts, or would be one day, with the command that mends it."""
