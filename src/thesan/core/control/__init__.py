"""Messages between thesan's own daemons and from its command line, carried in kXR_query (opaque)."""
