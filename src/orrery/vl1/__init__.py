"""VL1 without I/O: datagrams and time in, datagrams and events out."""
