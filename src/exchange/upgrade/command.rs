//! Commands of a WebSocket client: JSON text frames with an optional `ref`, which the answer repeats.
//!
//! Pure. The socket that reads them decides which commands there are.

use serde::de::{DeserializeOwned, Error};
use serde_json::{Map, Value};
use wirelab_clients::wire::Reference;

use crate::exchange::problem::Refusal;

/// Length of a command's `ref` as JSON. The answer repeats it.
const REFERENCE_BYTES_MAX: usize = 1_024;
/// Characters of a client's message that an error repeats.
pub(crate) const REPEATED_CHARS_MAX: usize = 200;

/// Parses a command; a refusal shows `example`. Also returns the `ref` that the answer repeats.
pub(crate) fn command<T: DeserializeOwned>(text: &str, example: &str) -> (Result<T, Refusal>, Reference) {
    let mut reference = None;
    let command = serde_json::from_str::<Map<String, Value>>(text).and_then(|mut members| {
        let given = members.remove("ref").filter(|reference| !reference.is_null());
        if given.as_ref().is_some_and(|given| given.to_string().len() > REFERENCE_BYTES_MAX) {
            let bound = format!("its ref is longer than {REFERENCE_BYTES_MAX} bytes; shorten it");
            return Err(serde_json::Error::custom(bound));
        }
        reference = given;
        T::deserialize(Value::Object(members))
    });
    let command = command.map_err(|error| {
        let error: String = error.to_string().chars().take(REPEATED_CHARS_MAX).collect();
        Refusal::bad_request(format!("the message is not a valid command: {error}; an example: {example}"))
    });
    (command, reference)
}
