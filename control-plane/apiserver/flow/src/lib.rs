//! Priority and fairness: which request is served now, which waits, and which is turned away.
