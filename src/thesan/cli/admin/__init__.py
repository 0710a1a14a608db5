"""`thesan NOUN VERB`: one file per noun; arguments in, one control message out, records rendered."""
