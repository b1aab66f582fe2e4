//! How the wire's tokens describe themselves in OpenAPI: those that JSON knows as strings only.
//!
//! The other types of [`wire`](crate::wire) derive their description. Only with the feature `openapi`: a client needs
//! none of it.

use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::openapi::{RefOr, schema};
use utoipa::{PartialSchema, ToSchema};

use crate::wire::{Cursor, DeploymentId};

/// A deployment's `status`: that it runs, or how it ended.
#[derive(ToSchema)]
#[schema(rename_all = "kebab-case")]
#[allow(dead_code, reason = "it is described, never made: the wire's own type is an optional Status")]
pub(crate) enum DeploymentStatus {
    Running,
    Succeeded,
    Failed,
    Cancelled,
}

fn token(pattern: &str, example: &str, description: &str) -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(schema::SchemaType::Type(Type::String))
        .pattern(Some(pattern))
        .examples([example])
        .description(Some(description))
        .into()
}

impl PartialSchema for DeploymentId {
    fn schema() -> RefOr<Schema> {
        token("^[a-z0-9]{8,26}$", "01k3dm5nq8zr4w2x7y", "A deployment's id, made by the server.")
    }
}

impl ToSchema for DeploymentId {}

impl PartialSchema for Cursor {
    fn schema() -> RefOr<Schema> {
        let pattern = r"^[a-z0-9]{1,16}\.(0|[1-9][0-9]{0,15})$";
        token(pattern, "k3x9.42", "A place in a log: epoch, dot, seq of the last line seen.")
    }
}

impl ToSchema for Cursor {}
