//! Debian's Chromium or Firefox, driven by WebDriver; blocking, since a test has nothing else to do.
//!
//! Each browser has a driver and a profile of its own, and takes both down when dropped. It needs no network:
//! everything it loads comes from the server under test. What WebDriver lacks is asked for by DevTools in Chromium
//! and by WebDriver BiDi in Firefox; what only one of them can do says so.

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tempfile::TempDir;
use thirtyfour::error::WebDriverResult;
use thirtyfour::{
    By, Capabilities, CapabilitiesHelper, ChromiumLikeCapabilities, DesiredCapabilities,
    LoggingPrefsLogLevel, WebDriver, WebElement,
};
use tokio::runtime::Runtime;

use crate::bidi::Bidi;
use crate::drivers::Driver;

const CHROMIUM_FLAGS: &[&str] = &[
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
const FIREFOX_FLAGS: &[&str] = &["-headless", "--width=1280", "--height=720"];
/// A start that takes longer hangs.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// An answer over BiDi that takes longer hangs.
const BIDI_TIMEOUT: Duration = Duration::from_secs(20);

/// What a browser is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    Chromium,
    Firefox,
}

impl Engine {
    /// What to do when it is not there.
    pub(crate) fn remedy(self) -> &'static str {
        match self {
            Self::Chromium => "install it: apt-get install chromium chromium-driver",
            Self::Firefox => {
                "install it: apt-get install firefox-esr; cargo install geckodriver --root target/tools"
            }
        }
    }

    fn program(self) -> &'static str {
        let places: &[_] = match self {
            Self::Chromium => &["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"],
            Self::Firefox => &["/usr/bin/firefox-esr", "/usr/bin/firefox"],
        };
        let found = places.iter().find(|path| Path::new(path).exists());
        found.unwrap_or_else(|| panic!("there is no {self:?}; {}", self.remedy()))
    }

    fn capabilities(self, profile: &Path) -> WebDriverResult<Capabilities> {
        Ok(match self {
            Self::Chromium => {
                let mut wanted = DesiredCapabilities::chrome();
                wanted.set_binary(self.program())?;
                for flag in CHROMIUM_FLAGS {
                    wanted.add_arg(flag)?;
                }
                wanted.add_arg(&format!("--user-data-dir={}", profile.display()))?;
                wanted.set_browser_log_level(LoggingPrefsLogLevel::All)?;
                // Nobody is there to accept the certificate that a server made for itself.
                wanted.accept_insecure_certs(true)?;
                wanted.into()
            }
            Self::Firefox => {
                let mut wanted = DesiredCapabilities::firefox();
                wanted.set_firefox_binary(self.program())?;
                for flag in FIREFOX_FLAGS {
                    wanted.add_arg(flag)?;
                }
                wanted.enable_bidi()?;
                wanted.accept_insecure_certs(true)?;
                wanted.into()
            }
        })
    }
}

/// Names functions of an [`Engine`] that each become one test per engine.
macro_rules! in_every_browser {
    ($($promise:ident;)+) => {
        $(mod $promise {
            use crate::browser::Engine;
            #[test]
            fn chromium() {
                super::$promise(Engine::Chromium);
            }
            #[test]
            fn firefox() {
                super::$promise(Engine::Firefox);
            }
        })+
    };
}
pub(crate) use in_every_browser;

/// The same for what depends on our own lines rather than on the browser: one engine is enough.
macro_rules! in_chromium {
    ($($promise:ident;)+) => {
        $(mod $promise {
            #[test]
            fn chromium() {
                super::$promise(crate::browser::Engine::Chromium);
            }
        })+
    };
}
pub(crate) use in_chromium;

/// A browser with one tab.
pub(crate) struct Browser {
    engine: Engine,
    runtime: Runtime,
    /// `None` once it was told to quit.
    session: Option<WebDriver>,
    /// Firefox's.
    bidi: Option<RefCell<Bidi>>,
    /// How often the console was read.
    readings: Cell<u32>,
    _driver: Driver,
    _profile: TempDir,
}

impl Browser {
    pub(crate) fn start(engine: Engine) -> Self {
        let profile = tempfile::tempdir().expect("a temporary folder can be made");
        let driver = Driver::start(engine, profile.path());
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime can be started");
        let session = runtime.block_on(async {
            let wanted = engine.capabilities(profile.path())?;
            let starting = tokio::time::timeout(START_TIMEOUT, WebDriver::new(&driver.url, wanted));
            starting.await.unwrap_or_else(|_| panic!("{engine:?} does not start within {START_TIMEOUT:?}"))
        });
        let session = session.unwrap_or_else(|error| panic!("{engine:?} does not start: {error}"));
        let url = session.capabilities().get("webSocketUrl").and_then(Value::as_str);
        let bidi = url.map(|url| RefCell::new(runtime.block_on(Bidi::connect(url))));
        let readings = Cell::new(0);
        Self { engine, runtime, session: Some(session), bidi, readings, _driver: driver, _profile: profile }
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

    /// A command of the DevTools protocol, for what WebDriver lacks. Chromium's alone.
    #[track_caller]
    pub(crate) fn devtools(&self, method: &str, parameters: Value) -> Value {
        assert_eq!(self.engine, Engine::Chromium, "{method}: only Chromium has DevTools");
        self.wait(method, self.session().cdp().send_raw(method, parameters))
    }

    /// Waits for what is told over BiDi, which is Firefox's alone.
    #[track_caller]
    fn over_bidi<T>(&self, what: &str, action: impl AsyncFnOnce(&mut Bidi) -> T) -> T {
        let bidi = self.bidi.as_ref().unwrap_or_else(|| panic!("{what}: only Firefox has BiDi here"));
        let mut bidi = bidi.borrow_mut();
        let done =
            self.runtime.block_on(async { tokio::time::timeout(BIDI_TIMEOUT, action(&mut bidi)).await });
        done.unwrap_or_else(|_| panic!("{what}: not within {BIDI_TIMEOUT:?}"))
    }

    /// Runs a script in every document that is loaded from now on, before any of its own.
    #[track_caller]
    pub(crate) fn before_each_page(&self, script: &str) {
        match self.engine {
            Engine::Chromium => {
                self.devtools("Page.addScriptToEvaluateOnNewDocument", json!({ "source": script }));
            }
            Engine::Firefox => {
                let parameters = json!({ "functionDeclaration": format!("() => {{ {script} }}") });
                let method = "script.addPreloadScript";
                self.over_bidi(method, async |bidi| bidi.command(method, parameters).await);
            }
        }
    }

    /// The exact size of the page's window and the colours its user prefers. Chromium's alone.
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

    /// What the console said since the last call: errors, promises that nobody caught, violations of the policy,
    /// and requests that were refused, of which Firefox tells only those of streams.
    #[track_caller]
    pub(crate) fn complaints(&self) -> Vec<String> {
        match self.engine {
            Engine::Chromium => {
                let log = self.wait("browser log", self.session().browser_log());
                let is_complaint = |level: &str| matches!(level, "SEVERE" | "WARNING");
                log.into_iter()
                    .filter(|entry| is_complaint(&entry.level))
                    .map(|entry| entry.message)
                    .collect()
            }
            Engine::Firefox => {
                // Entries come in their order: when this one is there, so is what was said before.
                self.readings.set(self.readings.get() + 1);
                let last = format!("reading {}", self.readings.get());
                self.run::<()>("console.debug(arguments[0])", &[json!(last)]);
                let told = self.over_bidi("console", async |bidi| bidi.told_until(&last).await);
                let is_complaint = |level: &str| matches!(level, "error" | "warn");
                told.into_iter().filter(|entry| is_complaint(&entry.level)).map(|entry| entry.text).collect()
            }
        }
    }

    /// Whether a complaint is the browser's own, about a server that cannot be reached or hung up.
    pub(crate) fn is_about_a_lost_connection(&self, complaint: &str) -> bool {
        match self.engine {
            Engine::Chromium => complaint.contains("net::ERR_"),
            Engine::Firefox => {
                // The second is of a stream that was open.
                complaint.starts_with("Firefox can’t establish a connection to the server at")
                    || complaint.starts_with("The connection to")
            }
        }
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
