"""`thesan NOUN VERB`, one file per noun: one control message, its records rendered."""
