//! `deployment.json`: the description of a deployment without its lines. Written once, before its folder appears.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};
use wirelab_clients::wire::{DeploymentId, Epoch, Source};

use super::files::{self, at, unusable};
use super::records::KeyRecord;
use crate::store::{IdempotencyKey, StoreError};

/// Name of the file in a deployment's folder.
const FILE_NAME: &str = "deployment.json";

/// Order of creation, time of creation, id: what "newest" goes by.
pub(super) type Age = (u64, u64, DeploymentId);

/// The part of a deployment that never changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct DeploymentManifest {
    pub(super) id: DeploymentId,
    pub(super) name: String,
    pub(super) epoch: Epoch,
    pub(super) created_us: u64,
    pub(super) source: Option<Source>,
    /// Position among all creations of the store, from 1: what "newest" goes by, since the wall clock may be set back.
    /// 0 in manifests that are older than this member; those are ordered by their time, before all others.
    #[serde(default)]
    pub(super) order: u64,
    /// Idempotency key of the creation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<KeyRecord>,
}

impl DeploymentManifest {
    /// Writes the manifest into `folder`, durably.
    pub(super) fn write(&self, folder: &Path) -> Result<(), StoreError> {
        let path = folder.join(FILE_NAME);
        let mut json = serde_json::to_vec(self).expect("a manifest has no key that JSON refuses");
        json.push(b'\n');
        let write = |mut file: File| file.write_all(&json).and_then(|()| file.sync_all());
        File::create_new(&path).and_then(write).map_err(at(&path))
    }

    /// Returns what "newest" goes by.
    pub(super) fn age(&self) -> Age {
        (self.order, self.created_us, self.id.clone())
    }

    /// Returns the idempotency key of the creation.
    pub(super) fn creation_key(&self) -> Option<IdempotencyKey> {
        self.key.clone().and_then(KeyRecord::decode)
    }

    /// Reads the manifest of the deployment `id` in `folder`.
    pub(super) fn read(folder: &Path, id: &DeploymentId) -> Result<Self, StoreError> {
        let path = folder.join(FILE_NAME);
        let json = files::read(&path)?;
        match serde_json::from_slice::<Self>(&json) {
            Ok(manifest) if manifest.id != *id => {
                Err(unusable(&path, format!("is the manifest of another deployment, {}", manifest.id)))
            }
            Ok(manifest) if manifest.key.is_some() && manifest.creation_key().is_none() => {
                Err(unusable(&path, "has an idempotency key without a digest"))
            }
            Ok(manifest) => Ok(manifest),
            Err(_) if json.is_empty() => Err(unusable(&path, "is empty")),
            Err(error) => Err(unusable(&path, format!("is no valid manifest ({error})"))),
        }
    }
}
