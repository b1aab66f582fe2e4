//! Debian's Chromium, driven through chromedriver by WebDriver; blocking, since a test has nothing else to do.
//!
//! Each browser has a driver on a free port and a profile of its own, and takes both down when dropped. It needs no
//! network: everything it loads comes from the server under test.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tempfile::TempDir;
use thirtyfour::error::WebDriverResult;
use thirtyfour::{
    By, ChromiumLikeCapabilities, DesiredCapabilities, LoggingPrefsLogLevel, WebDriver, WebElement,
};
use tokio::runtime::Runtime;

const FLAGS: &[&str] = &[
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,720",
];
/// A start that takes longer hangs.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// Ports that may be taken in a row.
const STARTS_MAX: u32 = 5;
const INSTALL: &str = "install it: apt-get install chromium chromium-driver";

/// A browser with one tab.
pub(crate) struct Browser {
    runtime: Runtime,
    /// `None` once it was told to quit.
    session: Option<WebDriver>,
    _driver: Driver,
    _profile: TempDir,
}

/// chromedriver, and whatever it started.
struct Driver {
    process: Child,
    /// Kept open: a driver whose stdout is closed ends.
    _stdout: BufReader<ChildStdout>,
}

impl Driver {
    /// Starts chromedriver on a port that the kernel picks.
    fn start(temporary: &Path) -> (Self, String) {
        let mut said = String::new();
        // It takes a free port of IPv6 and ends when somebody else has the same one of IPv4.
        for _ in 0..STARTS_MAX {
            said.clear();
            if let Some(started) = Self::try_start(temporary, &mut said) {
                return started;
            }
        }
        panic!("chromedriver ended {STARTS_MAX} times and said {said:?}");
    }

    fn try_start(temporary: &Path, said: &mut String) -> Option<(Self, String)> {
        let spawned = Command::new("chromedriver")
            .args(["--port=0", "--log-level=SEVERE"])
            // Chromium leaves files behind when it is killed: where they go with the profile.
            .env("TMPDIR", temporary)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut process = spawned.unwrap_or_else(|error| panic!("chromedriver: {error}; {INSTALL}"));
        let mut stdout = BufReader::new(process.stdout.take().expect("it is piped"));
        while stdout.read_line(said).expect("stdout can be read") > 0 {
            let started = said.trim_end().trim_end_matches('.').rsplit_once("started successfully on port ");
            if let Some((_, port)) = started {
                let url = format!("http://127.0.0.1:{port}");
                return Some((Self { process, _stdout: stdout }, url));
            }
        }
        let _ = process.wait();
        None
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // Its own process group: a Chromium that did not quit goes with it.
        let _ = killpg(Pid::from_raw(self.process.id().cast_signed()), Signal::SIGKILL);
        let _ = self.process.wait();
    }
}

impl Browser {
    pub(crate) fn start() -> Self {
        let chromium = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
        let chromium = chromium.into_iter().find(|path| Path::new(path).exists());
        let chromium = chromium.unwrap_or_else(|| panic!("there is no Chromium; {INSTALL}"));
        let profile = tempfile::tempdir().expect("a temporary folder can be made");
        let (driver, url) = Driver::start(profile.path());
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime can be started");
        let session = runtime.block_on(async {
            let mut capabilities = DesiredCapabilities::chrome();
            capabilities.set_binary(chromium)?;
            for flag in FLAGS {
                capabilities.add_arg(flag)?;
            }
            capabilities.add_arg(&format!("--user-data-dir={}", profile.path().display()))?;
            capabilities.set_browser_log_level(LoggingPrefsLogLevel::All)?;
            tokio::time::timeout(START_TIMEOUT, WebDriver::new(&url, capabilities))
                .await
                .expect("Chromium starts")
        });
        let session = session.unwrap_or_else(|error| panic!("Chromium does not start: {error}"));
        Self { runtime, session: Some(session), _driver: driver, _profile: profile }
    }

    fn session(&self) -> &WebDriver {
        self.session.as_ref().expect("it quits only when dropped")
    }

    #[track_caller]
    fn wait<T>(&self, what: &str, action: impl Future<Output = WebDriverResult<T>>) -> T {
        match self.runtime.block_on(action) {
            Ok(value) => value,
            Err(error) => panic!("{what}: {error}"),
        }
    }

    #[track_caller]
    pub(crate) fn goto(&self, url: &str) {
        self.wait(url, self.session().goto(url));
    }

    #[track_caller]
    pub(crate) fn reload(&self) {
        self.wait("reload", self.session().refresh());
    }

    /// Goes over to the tab that a link opened.
    #[track_caller]
    pub(crate) fn to_the_new_tab(&self) {
        self.wait("the new tab", async {
            let (here, all) = (self.session().window().await?, self.session().windows().await?);
            let new = all.into_iter().find(|tab| *tab != here).expect("a tab was opened");
            self.session().switch_to_window(new).await
        });
    }

    /// Runs the body of a function in the page; what it returns.
    #[track_caller]
    pub(crate) fn run<T: DeserializeOwned>(&self, script: &str, arguments: &[Value]) -> T {
        let returned = self.wait(script, self.session().execute(script, arguments.to_vec()));
        serde_json::from_value(returned.json().clone()).unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    #[track_caller]
    fn element(&self, css: &str) -> WebElement {
        self.wait(css, self.session().find(By::Css(css)))
    }

    /// Clicks as a person does: what is covered or disabled cannot be clicked.
    #[track_caller]
    pub(crate) fn click(&self, css: &str) {
        let element = self.element(css);
        self.wait(css, element.click());
    }

    /// Types into a field instead of what it holds.
    #[track_caller]
    pub(crate) fn fill(&self, css: &str, text: &str) {
        let element = self.element(css);
        self.wait(css, async {
            element.clear().await?;
            element.send_keys(text).await
        });
    }

    /// Presses keys on an element.
    #[track_caller]
    pub(crate) fn press(&self, css: &str, keys: &str) {
        let element = self.element(css);
        self.wait(css, element.send_keys(keys));
    }

    /// Chooses an option by its value, as a click in the list does.
    #[track_caller]
    pub(crate) fn choose(&self, css: &str, value: &str) {
        self.click(&format!("{css} option[value='{value}']"));
    }

    /// What is written in an element, byte by byte.
    #[track_caller]
    pub(crate) fn text(&self, css: &str) -> String {
        self.run("return document.querySelector(arguments[0]).textContent", &[css.into()])
    }

    #[track_caller]
    pub(crate) fn is_shown(&self, css: &str) -> bool {
        self.run("return document.querySelector(arguments[0]).checkVisibility()", &[css.into()])
    }

    #[track_caller]
    pub(crate) fn is_enabled(&self, css: &str) -> bool {
        self.run("return !document.querySelector(arguments[0]).disabled", &[css.into()])
    }

    /// A command of the DevTools protocol, for what WebDriver lacks.
    #[track_caller]
    pub(crate) fn devtools(&self, method: &str, parameters: Value) -> Value {
        self.wait(method, self.session().cdp().send_raw(method, parameters))
    }

    /// The exact size of the page's window and the colours its user prefers.
    #[track_caller]
    pub(crate) fn look(&self, width: u32, height: u32, colours: &str) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.devtools("Emulation.setDeviceMetricsOverride", size);
        let features = json!([{"name": "prefers-color-scheme", "value": colours}]);
        self.devtools("Emulation.setEmulatedMedia", json!({"features": features}));
    }

    /// What is seen, as PNG.
    #[track_caller]
    pub(crate) fn photograph(&self) -> Vec<u8> {
        self.wait("screenshot", self.session().screenshot_as_png())
    }

    /// What the console said since the last call: errors, refused requests, violations of the policy.
    #[track_caller]
    pub(crate) fn complaints(&self) -> Vec<String> {
        let log = self.wait("browser log", self.session().browser_log());
        let is_complaint = |level: &str| matches!(level, "SEVERE" | "WARNING");
        log.into_iter().filter(|entry| is_complaint(&entry.level)).map(|entry| entry.message).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            // Whatever is left is killed with the driver.
            let _ =
                self.runtime.block_on(async { tokio::time::timeout(START_TIMEOUT, session.quit()).await });
        }
    }
}
