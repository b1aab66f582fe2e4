//! The disk store.
