//! Encryption at rest: EncryptionConfiguration over any store.
