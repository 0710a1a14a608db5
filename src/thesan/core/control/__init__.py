"""Messages between thesan's own daemons and from its command line, inside kXR_query (opaque)."""
