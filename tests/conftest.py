"""What all tests stand on."""

import signal

# A shell lets what it starts in the background ignore SIGINT, which tests send themselves.
signal.signal(signal.SIGINT, signal.default_int_handler)
