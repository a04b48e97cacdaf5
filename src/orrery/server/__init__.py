"""The root server: sockets, time and the store around a `RootNode`."""
