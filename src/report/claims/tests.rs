//! Judgements on made-up runs.
