"""Other people's servers: official zerotier-one roots and nodes, on this machine or over SSH."""
