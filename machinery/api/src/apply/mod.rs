//! Server-side apply (KEP-555): who owns which field, merging, conflicts.
