//! Tables of what upstream does.

mod fields;
