//! Idempotency keys of creations: the same key makes one deployment, however often it is sent.
//!
//! The store writes a key with its deployment, so that the keys are known again after a restart. `Deployments` asks
//! here before it creates anything. While the first use of a key is under way, others that send it wait.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::watch;
use wirelab_clients::wire::DeploymentId;

use crate::store::{IdempotencyKey, KEYS_MAX, StoreError};

/// The newest [`KEYS_MAX`] keys of creations.
#[derive(Debug, Default)]
pub(super) struct CreationKeys(Mutex<Keys>);

#[derive(Debug, Default)]
struct Keys {
    used: HashMap<String, Used>,
    oldest_first: VecDeque<String>,
}

#[derive(Debug)]
struct Used {
    digest: [u8; 32],
    by: Use,
}

#[derive(Debug)]
enum Use {
    Creation(DeploymentId),
    /// Its sender is dropped when the creation has succeeded or failed.
    UnderWay(watch::Receiver<()>),
}

/// What became of a key.
pub(super) enum Claim {
    /// The key has created this deployment before.
    Used(DeploymentId),
    /// The caller is the first that uses the key, and must create a deployment with it.
    Mine(Claimed),
}

/// A key whose creation is under way. Dropped without [`created`](Self::created), it is free again.
pub(super) struct Claimed {
    keys: Arc<CreationKeys>,
    key: String,
    _under_way: watch::Sender<()>,
}

impl CreationKeys {
    fn lock(&self) -> MutexGuard<'_, Keys> {
        self.0.lock().expect("no holder panics")
    }

    /// Claims `key` for a creation. Waits while another creation with it is under way.
    pub(super) async fn claim(self: &Arc<Self>, key: &IdempotencyKey) -> Result<Claim, StoreError> {
        loop {
            let mut under_way = {
                let mut keys = self.lock();
                match keys.used.get(&key.key) {
                    Some(used) if used.digest != key.digest => {
                        return Err(StoreError::KeyReused(key.key.clone()));
                    }
                    Some(Used { by: Use::Creation(id), .. }) => return Ok(Claim::Used(id.clone())),
                    Some(Used { by: Use::UnderWay(under_way), .. }) => under_way.clone(),
                    None => {
                        let (sender, receiver) = watch::channel(());
                        let used = Used { digest: key.digest, by: Use::UnderWay(receiver) };
                        keys.used.insert(key.key.clone(), used);
                        let (keys, key) = (self.clone(), key.key.clone());
                        return Ok(Claim::Mine(Claimed { keys, key, _under_way: sender }));
                    }
                }
            };
            // Nothing is ever sent: it ends when the sender is dropped.
            let _ = under_way.changed().await;
        }
    }

    /// Remembers the deployment that `key` created, and forgets the oldest key beyond the bound.
    pub(super) fn remember(&self, key: IdempotencyKey, id: DeploymentId) {
        let mut keys = self.lock();
        // Beyond the bound a key may have been forgotten and used again.
        if matches!(keys.used.get(&key.key), Some(Used { by: Use::Creation(_), .. })) {
            keys.oldest_first.retain(|other| *other != key.key);
        }
        keys.oldest_first.push_back(key.key.clone());
        keys.used.insert(key.key, Used { digest: key.digest, by: Use::Creation(id) });
        if keys.oldest_first.len() > KEYS_MAX
            && let Some(oldest) = keys.oldest_first.pop_front()
        {
            keys.used.remove(&oldest);
        }
    }

    /// Forgets that `key` created the deployment `id`, because that was deleted.
    pub(super) fn forget(&self, key: &str, id: &DeploymentId) {
        let mut keys = self.lock();
        // The key may have been used again since.
        if matches!(keys.used.get(key), Some(Used { by: Use::Creation(created), .. }) if created == id) {
            keys.used.remove(key);
            keys.oldest_first.retain(|other| other != key);
        }
    }
}

impl Claimed {
    /// Notes that the key has created the deployment `id`.
    pub(super) fn created(self, digest: [u8; 32], id: DeploymentId) {
        self.keys.remember(IdempotencyKey { key: self.key.clone(), digest }, id);
    }
}

impl Drop for Claimed {
    fn drop(&mut self) {
        let mut keys = self.keys.lock();
        if matches!(keys.used.get(&self.key), Some(Used { by: Use::UnderWay(_), .. })) {
            keys.used.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> IdempotencyKey {
        IdempotencyKey { key: name.to_owned(), digest: [1; 32] }
    }

    fn id(number: usize) -> DeploymentId {
        format!("{number:08}").parse().unwrap()
    }

    #[tokio::test]
    async fn a_key_whose_creation_failed_is_free_again() {
        let keys = Arc::new(CreationKeys::default());
        let Ok(Claim::Mine(first)) = keys.claim(&key("k")).await else { panic!("it is new") };
        let twin = tokio::spawn({
            let keys = keys.clone();
            async move { matches!(keys.claim(&key("k")).await, Ok(Claim::Mine(_))) }
        });
        tokio::task::yield_now().await;
        assert!(!twin.is_finished(), "a twin must wait");
        drop(first);
        assert!(twin.await.unwrap());
    }

    #[tokio::test]
    async fn the_newest_ten_thousand_keys_are_remembered() {
        let keys = Arc::new(CreationKeys::default());
        for number in 0..=KEYS_MAX {
            keys.remember(key(&number.to_string()), id(number));
        }
        assert!(matches!(keys.claim(&key("1")).await, Ok(Claim::Used(made)) if made == id(1)));
        assert!(matches!(keys.claim(&key("0")).await, Ok(Claim::Mine(_))));
        keys.forget("1", &id(2));
        assert!(matches!(keys.claim(&key("1")).await, Ok(Claim::Used(_))), "another deployment was deleted");
        keys.forget("1", &id(1));
        assert!(matches!(keys.claim(&key("1")).await, Ok(Claim::Mine(_))));
        assert_eq!(keys.lock().oldest_first.len(), KEYS_MAX - 1);
    }
}
