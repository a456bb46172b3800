//! What crosses components: the built binary, driven from outside as its users do. The tests are in `tests/`, a file per
//! area; each starts the clusters that it needs. They need root, and what `tests/setup` installs.
