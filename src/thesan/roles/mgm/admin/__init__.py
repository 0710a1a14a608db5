"""`thesan NOUN VERB` at the MGM: one file per noun, one function per verb, records as answers."""
