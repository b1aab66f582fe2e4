//! Commands of a WebSocket client: JSON text frames that may carry a `ref`, which comes back in the answer.
//!
//! Pure. Which commands there are is up to the socket that reads them.

use serde::de::{DeserializeOwned, Error};
use serde_json::{Map, Value};
use wirelab_clients::wire::Reference;

use crate::exchange::problem::Refusal;

/// A command's `ref`, as JSON: it names an answer, and comes back in it.
const REFERENCE_BYTES_MAX: usize = 1_024;
/// What an error repeats of what was sent.
pub(crate) const REPEATED_CHARS_MAX: usize = 200;

/// The command, or why it is none, such as `example` would be; and the `ref` to answer with.
pub(crate) fn command<T: DeserializeOwned>(text: &str, example: &str) -> (Result<T, Refusal>, Reference) {
    let mut reference = None;
    let command = serde_json::from_str::<Map<String, Value>>(text).and_then(|mut members| {
        let given = members.remove("ref").filter(|reference| !reference.is_null());
        if given.as_ref().is_some_and(|given| given.to_string().len() > REFERENCE_BYTES_MAX) {
            let bound = format!("its ref is longer than {REFERENCE_BYTES_MAX} bytes");
            return Err(serde_json::Error::custom(bound));
        }
        reference = given;
        T::deserialize(Value::Object(members))
    });
    let command = command.map_err(|error| {
        let error: String = error.to_string().chars().take(REPEATED_CHARS_MAX).collect();
        Refusal::bad_request(format!("this is no command: {error}; such as {example}"))
    });
    (command, reference)
}
