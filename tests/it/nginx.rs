//! A real nginx in front of a server, as the documents set it up or otherwise.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command};

use tempfile::TempDir;

use crate::http::Api;
use crate::server::wait_until;

/// A real nginx in front of a server, stopped when dropped.
pub(crate) struct Nginx {
    child: Child,
    api: Api,
    _folder: TempDir,
}

impl Nginx {
    /// `settings` stand beside `proxy_pass`.
    pub(crate) fn before(server: &Api, settings: &str) -> Self {
        let upstream = &server.authority;
        Self::with(&format!("location / {{ proxy_pass http://{upstream}; {settings} }}"))
    }

    /// With these locations.
    pub(crate) fn with(locations: &str) -> Self {
        let folder = TempDir::new().unwrap();
        // nginx cannot take a free port by itself and say which.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let here = folder.path().display();
        let configuration = format!(
            "daemon off; master_process off; pid {here}/pid; error_log stderr crit;\n\
             events {{}}\n\
             http {{ access_log off; client_body_temp_path {here}/body; proxy_temp_path {here}/proxy;\n\
             fastcgi_temp_path {here}/f; uwsgi_temp_path {here}/u; scgi_temp_path {here}/s;\n\
             server {{ listen 127.0.0.1:{port}; {locations} }} }}\n"
        );
        let path = folder.path().join("nginx.conf");
        fs::write(&path, configuration).unwrap();
        // Where Debian puts it, which is not in everybody's path.
        let found = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin";
        let mut nginx = Command::new("nginx");
        nginx.env("PATH", found).args(["-e", "stderr", "-c"]).arg(&path);
        let child = nginx.spawn().expect("nginx is installed; scripts/test sees to it");
        let proxied = Self { child, api: Api::new(format!("127.0.0.1:{port}")), _folder: folder };
        wait_until("nginx listens", || TcpStream::connect(&proxied.api.authority).is_ok());
        proxied
    }

    /// The server, seen through nginx.
    pub(crate) fn api(&self) -> &Api {
        &self.api
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The locations that `docs/protocol.md` asks for, in front of this server.
pub(crate) fn documented_locations(authority: &str) -> String {
    let document = include_str!("../../docs/protocol.md");
    let (_, block) = document.split_once("```nginx\n").expect("it shows how nginx is set up");
    let (block, _) = block.split_once("```").expect("the block ends");
    assert!(block.contains("http://127.0.0.1:8080;"), "{block}");
    block.replace("127.0.0.1:8080", authority)
}
