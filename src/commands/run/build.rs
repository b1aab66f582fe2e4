//! The build that runs: its commit and compiler, which the build script stamped, and the hash of its executable.
//!
//! An experiment writes them into its manifest and is continued by the same build only. Nothing is asked of git here: the
//! sources may have changed since.

use std::fs::File;
use std::io::{self, Read};

use sha2::{Digest, Sha256};
use wirelab_clients::harness::results::Build;
use wirelab_clients::os;

/// Bytes that are read at once: large enough that reading costs nothing beside hashing.
const CHUNK_BYTES: usize = 1 << 20;

/// Describes the program that runs.
pub(super) fn this_build() -> Build {
    Build {
        commit: option_env!("WIRELAB_COMMIT").map(str::to_owned),
        rustc: Some(env!("WIRELAB_RUSTC").to_owned()),
        // A program that cannot read itself runs all the same; the manifest says that its hash is not known.
        executable_sha256: os::own_program().and_then(File::open).and_then(sha256).ok(),
    }
}

/// Returns the SHA-256 of everything that is read, in hexadecimal.
fn sha256(mut file: impl Read) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
            read => hash.update(&chunk[..read]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_one_that_sha256sum_prints() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(&b"abc"[..]).unwrap(), abc);
        // Longer than a chunk: `head -c 3000000 /dev/zero | sha256sum`.
        let zeros = "35bce4eae54ec8e6cc2868baa8d157914d6ae2858811b4cc0c078c94460fa26f";
        assert_eq!(sha256(io::repeat(0).take(3_000_000)).unwrap(), zeros);
    }

    #[test]
    fn this_program_has_a_hash_and_a_compiler() {
        let build = this_build();
        assert!(build.executable_sha256.is_some_and(|hash| hash.len() == 64));
        assert!(build.rustc.is_some_and(|rustc| rustc.starts_with("rustc ")));
    }
}
