//! The page as a person sees it: one place that knows its elements.

use std::ops::Deref;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use wirelab_clients::wire::{DeploymentId, TransportInfo};

use crate::browser::{Browser, Engine};
use crate::http::{Api, SOON};

/// Shortest and longest time between two looks at a condition, an eighth of the wait so far. Each look goes through two
/// processes of the browser, which share the machine with what is waited for.
const LOOK_INTERVAL: [Duration; 2] = [Duration::from_millis(20), Duration::from_millis(100)];

/// Waits until `condition` holds; says `what` when it does not within [`SOON`].
#[track_caller]
pub(crate) fn wait_until(what: &str, condition: impl FnMut() -> bool) {
    wait_within(SOON, what, condition);
}

/// The same for what takes longer.
#[track_caller]
pub(crate) fn wait_within(limit: Duration, what: &str, condition: impl FnMut() -> bool) {
    assert!(holds_within(limit, condition), "{what}: not within {limit:?}");
}

fn holds(condition: impl FnMut() -> bool) -> bool {
    holds_within(SOON, condition)
}

fn holds_within(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let began = Instant::now();
    let [shortest, longest] = LOOK_INTERVAL;
    while !condition() {
        if began.elapsed() > limit {
            return false;
        }
        thread::sleep((began.elapsed() / 8).clamp(shortest, longest));
    }
    true
}

/// A figure of the page; not a number when there is none.
pub(crate) fn number(text: &str) -> f64 {
    text.replace(',', "").parse().unwrap_or(f64::NAN)
}

/// A line as shown: its number and its text.
pub(crate) type Shown = (u64, String);

/// A lane of the view side by side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ShownLane {
    pub(crate) number: u32,
    pub(crate) transport: String,
}

impl ShownLane {
    /// Where a part of it is.
    pub(crate) fn css(&self, part: &str) -> String {
        format!(".lane[data-lane='{}'] [data-part='{part}']", self.number)
    }
}

/// The page of one server in one browser.
pub(crate) struct Page {
    browser: Browser,
    origin: String,
}

impl Deref for Page {
    type Target = Browser;
    fn deref(&self) -> &Browser {
        &self.browser
    }
}

impl Page {
    /// The overview of a server, in Chromium.
    #[track_caller]
    pub(crate) fn of(server: &Api) -> Self {
        Self::shown_by(Engine::Chromium, server)
    }

    /// The overview of a server.
    #[track_caller]
    pub(crate) fn shown_by(engine: Engine, server: &Api) -> Self {
        let page = Self { browser: Browser::start(engine), origin: format!("http://{}", server.authority) };
        page.overview();
        page
    }

    /// The login of a server with tokens, to which its overview leads.
    #[track_caller]
    pub(crate) fn before_login(engine: Engine, server: &Api) -> Self {
        let page = Self { browser: Browser::start(engine), origin: format!("http://{}", server.authority) };
        page.goto(&format!("{}/", page.origin));
        wait_until("the login is shown", || page.is_at("/login"));
        page
    }

    /// Gives a token to the login, which is shown.
    #[track_caller]
    pub(crate) fn give(&self, token: &str) {
        self.fill("#token", token);
        self.click("#login button");
    }

    /// Whether the browser is at this path of the server.
    #[track_caller]
    pub(crate) fn is_at(&self, path: &str) -> bool {
        let is_loaded = "return document.readyState === 'complete' && location.pathname === arguments[0]";
        // Nothing comes back while the browser leaves the page that it was asked on.
        self.run::<Option<bool>>(is_loaded, &[path.into()]) == Some(true)
    }

    /// The overview of a server that speaks HTTPS.
    #[track_caller]
    pub(crate) fn secure(engine: Engine, server: &Api) -> Self {
        let page = Self { browser: Browser::start(engine), origin: format!("https://{}", server.authority) };
        page.overview();
        page
    }

    #[track_caller]
    pub(crate) fn overview(&self) {
        self.goto(&format!("{}/#/", self.origin));
        wait_until("the overview is shown", || self.is_shown("#overview"));
    }

    /// Opens the results and runs by their address, whatever the server says to it.
    #[track_caller]
    pub(crate) fn reports(&self) {
        self.goto(&format!("{}/#/reports", self.origin));
        wait_until("the reports are shown", || self.is_shown("#results") || self.is_shown("#refused"));
    }

    /// Opens a deployment over a transport by its address.
    #[track_caller]
    pub(crate) fn open(&self, id: &DeploymentId, transport: &str) {
        self.goto(&format!("{}/#/{id}/{transport}", self.origin));
        wait_until("the deployment is shown", || self.text("#id") == id.as_str());
    }

    /// Waits for a state of the connection.
    #[track_caller]
    pub(crate) fn wait_for(&self, state: &str, of: &str) {
        let mut seen = String::new();
        let reached = holds(|| {
            seen = self.text("#state");
            seen == state
        });
        assert!(reached, "{of}: {state} was awaited, the page says {seen}: {:?}", self.text("#detail"));
    }

    /// The lines shown, top to bottom.
    #[track_caller]
    pub(crate) fn lines(&self) -> Vec<Shown> {
        let script = "return [...document.querySelectorAll('#log .line')].map(
            (row) => [Number(row.dataset.seq), row.querySelector('.text').textContent])";
        self.run(script, &[])
    }

    /// What the page itself remarks between the lines.
    #[track_caller]
    pub(crate) fn notes(&self) -> Vec<String> {
        self.run("return [...document.querySelectorAll('#log .note')].map((note) => note.textContent)", &[])
    }

    #[track_caller]
    pub(crate) fn line_count(&self) -> usize {
        self.run("return document.querySelectorAll('#log .line').length", &[])
    }

    /// Waits until as many lines are shown and checks that they are these, from number 1, once each, in order.
    #[track_caller]
    pub(crate) fn shows(&self, texts: &[impl AsRef<str>], of: &str) {
        let mut count = 0;
        let all_there = holds(|| {
            count = self.line_count();
            count >= texts.len()
        });
        let state = format!("{}: {:?} {:?}", self.text("#state"), self.text("#detail"), self.notes());
        assert!(all_there, "{of}: {count} of {} lines are shown; the page is {state}", texts.len());
        let expected: Vec<Shown> = (1..).zip(texts.iter().map(|text| text.as_ref().to_owned())).collect();
        let shown = self.lines();
        if let Some((shown, expected)) =
            shown.iter().zip(&expected).find(|(shown, expected)| shown != expected)
        {
            panic!("{of}: {expected:.200?} was expected, {shown:.200?} is shown");
        }
        assert_eq!(shown.len(), expected.len(), "{of}: lines are shown that should not be");
        assert_eq!(self.text("#order"), "each once, in order", "{of}");
    }

    /// Lines from the regular API and lines over the transport, as the page counts them.
    #[track_caller]
    pub(crate) fn counts(&self) -> (String, String) {
        (self.text("#history-count"), self.text("#live-count"))
    }

    /// Opens a deployment side by side.
    #[track_caller]
    pub(crate) fn beside(&self, id: &DeploymentId) {
        self.goto(&format!("{}/#/{id}", self.origin));
        wait_until("the lanes are shown", || {
            self.is_shown("#lanes") && self.text("#lanes-id") == id.as_str()
        });
    }

    /// The lanes, by number, in order.
    #[track_caller]
    pub(crate) fn lanes(&self) -> Vec<ShownLane> {
        let script = "return [...document.querySelectorAll('#lane-list .lane')].map(
            (lane) => [Number(lane.dataset.lane), lane.dataset.transport])";
        let rows: Vec<(u32, String)> = self.run(script, &[]);
        rows.into_iter().map(|(number, transport)| ShownLane { number, transport }).collect()
    }

    /// What a part of a lane says: `state`, `requests`, `p50`, …
    #[track_caller]
    pub(crate) fn of_lane(&self, lane: &ShownLane, part: &str) -> String {
        self.text(&lane.css(part))
    }

    /// Moves the slider `interval` or `hold`, s.
    #[track_caller]
    pub(crate) fn slide(&self, name: &str, value_s: f64) {
        let script = "const slider = document.getElementById(arguments[0]);
            slider.value = arguments[1];
            slider.dispatchEvent(new Event('input'));";
        self.run::<()>(script, &[name.into(), value_s.into()]);
        assert_eq!(self.text(&format!("#{name}-value")), format!("{value_s} s"));
    }

    /// The lines that a lane shows, top to bottom.
    #[track_caller]
    pub(crate) fn lane_lines(&self, lane: &ShownLane) -> Vec<Shown> {
        let script = "return [...document.querySelectorAll(arguments[0] + ' .line')].map(
            (row) => [Number(row.dataset.seq), row.querySelector('.text').textContent])";
        self.run(script, &[lane.css("log").into()])
    }

    /// Waits until every lane is in this state.
    #[track_caller]
    pub(crate) fn wait_for_lanes(&self, state: &str) {
        let mut others = Vec::new();
        let reached = holds(|| {
            let lanes = self.lanes();
            let states: Vec<_> =
                lanes.iter().map(|lane| (lane.clone(), self.of_lane(lane, "state"))).collect();
            others = states.iter().filter(|(_, seen)| seen != state).cloned().collect();
            !states.is_empty() && others.is_empty()
        });
        assert!(reached, "{state} was awaited; there is {others:?}");
    }

    /// Waits until every lane shows exactly these lines, from number 1, once each, in order.
    #[track_caller]
    pub(crate) fn lanes_show(&self, texts: &[impl AsRef<str>]) {
        let expected: Vec<Shown> = (1..).zip(texts.iter().map(|text| text.as_ref().to_owned())).collect();
        for lane in self.lanes() {
            let all_there = holds(|| self.lane_lines(&lane).len() >= expected.len());
            let shown = self.lane_lines(&lane);
            assert!(all_there, "{lane:?} shows {} of {} lines", shown.len(), expected.len());
            assert!(shown == expected, "{lane:?} shows {shown:.300?}");
            assert_eq!(self.of_lane(&lane, "order"), "none", "{lane:?}");
        }
    }

    /// Nothing was logged: no error, no refused request, no violation of the policy.
    #[track_caller]
    pub(crate) fn is_quiet(&self) {
        self.says_nothing_but(|_| false);
    }

    /// Nothing was logged but what is expected.
    #[track_caller]
    pub(crate) fn says_nothing_but(&self, is_expected: impl Fn(&str) -> bool) {
        let others: Vec<_> = self.complaints().into_iter().filter(|said| !is_expected(said)).collect();
        assert_eq!(others, Vec::<String>::new(), "the console complains");
    }

    /// What the server offers and this page can speak.
    #[track_caller]
    pub(crate) fn transports(&self, server: &Api) -> Vec<TransportInfo> {
        let offered: Vec<TransportInfo> = server.get("/api/transports").json();
        let script = "return [...document.querySelectorAll('#transport option:enabled')].map((o) => o.value)";
        let usable: Vec<String> = self.run(script, &[]);
        let offered: Vec<_> = offered.into_iter().filter(|row| usable.contains(&row.name)).collect();
        assert!(!offered.is_empty(), "the page can speak nothing");
        offered
    }

    /// Requests of scripts to `path` are answered with this from the next load on, whatever the server says.
    pub(crate) fn answer_instead(&self, path: &str, status: u16, answer: &serde_json::Value) {
        let script = format!(
            "{{ const ask = window.fetch; window.fetch = (url, options) => url === {path}
                 ? Promise.resolve(new Response({body}, {{ status: {status}, headers: {{ 'Retry-After': '7' }} }}))
                 : ask(url, options); }}",
            path = json!(path),
            body = json!(answer.to_string()),
        );
        self.before_each_page(&script);
    }
}
