"""Byte-exact codecs: what travels in a packet or lies in a file, and nothing of what it is for."""
