//! Who imports whom: read from the sources, without a circle, and never upwards.
//!
//! At every level of folders, modules and what lies in them must not import each other in a circle. A module and its own
//! children count as one there: a module that assembles its children is the language's habit. Each crate's rooms stand on
//! floors, and a room imports rooms of its own floor and of those below. The picture of the floors in ARCHITECTURE.md is
//! made by this test: `UPDATE_FLOORS=1 cargo test --test it floors` writes it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemMod, ItemUse, Macro, Meta, UseTree, Visibility};

/// A part of the house, from the top floor down.
struct House {
    /// Where the sources are.
    folder: &'static str,
    /// The module whose children are the rooms; empty for the crate itself.
    inside: &'static str,
    /// What it is, for the picture.
    title: &'static str,
    floors: &'static [Floor],
}

/// Rooms that may import each other, as long as there is no circle.
struct Floor {
    rooms: &'static [&'static str],
    /// What the floor is for.
    what: &'static str,
}

const fn floor(rooms: &'static [&'static str], what: &'static str) -> Floor {
    Floor { rooms, what }
}

const HOUSES: &[House] = &[
    House {
        folder: "src",
        inside: "",
        title: "wirelab: what is measured, the reports and the command line",
        floors: &[
            floor(&["commands"], "one file per command, and what the command line may say"),
            floor(&["server"], "assembles the rest: listener, application, page, description of the calls"),
            floor(
                &["api", "lab", "transports"],
                "the calls; what a teacher does to the server; how lines leave a log",
            ),
            floor(&["context"], "what every handler is given"),
            floor(&["connection"], "one TCP connection: HTTP/1.1, HTTP/2, bytes counted"),
            floor(&["lanes"], "what the server counted for one lane of a page"),
            floor(&["exchange"], "a request, its refusal, the coding of its answer, an upgrade"),
            floor(
                &["deployments", "report"],
                "the verbs of a deployment and its sources; results in, bytes out",
            ),
            floor(&["metrics", "reader"], "the counters; a cursor on a log"),
            floor(
                &["access", "store", "tls"],
                "who may do what, from how many connections; where logs live; the certificate",
            ),
            floor(&["clock", "terminal"], "the time of day; what is said to people"),
        ],
    },
    House {
        folder: "clients/src",
        inside: "",
        title: "wirelab-clients: what measures",
        floors: &[
            floor(&["harness"], "runs plans; its own floors are below"),
            floor(&["ladder", "targets"], "steps down to another transport; servers that are not wirelab's"),
            floor(&["transports"], "the client half of each transport"),
            floor(
                &["api", "deployment_url", "upgrade"],
                "the regular calls; the URL of a deployment; the WebSocket handshake",
            ),
            floor(&["http"], "one connection at a time, with reconnects"),
            floor(
                &["backoff", "http2", "meter", "poll_schedule", "silence", "stream"],
                "waits; HTTP/2; counts and stamps; when to poll; a dead stream",
            ),
            floor(&["route"], "the way of a connection to its server"),
            floor(&["delay_line"], "a socket whose bytes take their time"),
            floor(
                &[
                    "advice",
                    "decode",
                    "deflate",
                    "event_stream",
                    "frame_socket",
                    "gzip",
                    "inflate",
                    "timing",
                    "traffic",
                ],
                "parsers and counters without a socket",
            ),
            floor(
                &["latency", "link", "options", "os", "recording", "spare", "tls", "token", "toml_place"],
                "values, also of a link; calls of the system; recordings; memory of lines",
            ),
            floor(&["wire", "wire_schemas"], "everything that crosses the network"),
            floor(&["data_files"], "plans, recordings and profiles, in a folder and in the binary"),
        ],
    },
    House {
        folder: "clients/src",
        inside: "harness",
        title: "harness, in wirelab-clients",
        floors: &[
            floor(&["calibration", "crowd", "run", "two_way"], "measure"),
            floor(&["followers", "watch"], "the subscribers of a deployment; what is sampled meanwhile"),
            floor(&["server_under_test", "subscribers"], "the server of a run; the clients that follow it"),
            floor(&["run_error"], "why there is no result"),
            floor(
                &[
                    "hiccup",
                    "link_check",
                    "publisher",
                    "reachable",
                    "server_counts",
                    "server_process",
                    "waiters",
                ],
                "the publisher; probes; a server's process and its counts",
            ),
            floor(
                &["dictionary", "example", "plan_files"],
                "the data dictionary; a made-up result; the plans on disk",
            ),
            floor(
                &["connection_memory", "ending", "forecast", "results"],
                "over many runs: memory, what they came to, what was foretold, the manifest",
            ),
            floor(&["plan"], "one experiment as text"),
            floor(&["thresholds"], "what must hold of the rows"),
            floor(&["rows", "theory"], "the lines of the CSV files; what the run should have given"),
            floor(&["distributions", "gates"], "what is measured of a run; whether it may be believed"),
            floor(&["run_result"], "what one run found out, and what was said of it"),
            floor(&["cell"], "one run to make"),
            floor(
                &["network", "receipts", "recorder", "schedule", "shared_record"],
                "what goes wrong; what arrived; when lines are due",
            ),
            floor(
                &[
                    "due_table",
                    "kernel_memory",
                    "machine",
                    "process_sampler",
                    "series",
                    "staleness",
                    "statistics",
                ],
                "values and formulas",
            ),
        ],
    },
];

/// Circles that are allowed, each with its reason.
const CIRCLES: &[(&str, &str, &str)] = &[(
    "clients/src: wire",
    "clients/src: wire_schemas",
    "the schemas of the wire's types are named by attributes on those types, and only with the feature openapi",
)];

/// One source file, as a module.
#[derive(Default)]
struct Module {
    file: String,
    /// Absolute paths that the code names.
    named: Vec<Path_>,
    /// Names that it hands on, with their absolute paths.
    doors: BTreeMap<String, Path_>,
    /// Every single name in its code: whether it uses what it hands on.
    idents: BTreeSet<String>,
}

/// The segments of a path, from the crate's root.
type Path_ = Vec<String>;

/// The modules of one crate by their path.
struct Crate {
    modules: BTreeMap<Path_, Module>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

impl Crate {
    fn read(folder: &str) -> Self {
        let mut modules = BTreeMap::new();
        for file in files(&root().join(folder)) {
            let below = file.strip_prefix(root().join(folder)).expect("it was found there");
            let mut path: Path_ = below
                .with_extension("")
                .iter()
                .map(|name| name.to_str().expect("UTF-8").to_owned())
                .collect();
            match path.last().map(String::as_str) {
                Some("main") if path.len() == 1 => continue,
                Some("mod") => drop(path.pop()),
                Some("lib") if path.len() == 1 => drop(path.pop()),
                _ => {}
            }
            let text = fs::read_to_string(&file).expect("a source can be read");
            let syntax = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            let mut reading = Reading { at: path.clone(), module: Module::default() };
            reading.module.file = format!("{folder}/{}", below.display());
            reading.visit_file(&syntax);
            modules.insert(path, reading.module);
        }
        Self { modules }
    }

    /// The module that a path leads to, through every door.
    fn module_of(&self, path: &[String], doors_left: usize) -> Path_ {
        let deepest = (0..=path.len()).rev().find(|length| self.modules.contains_key(&path[..*length]));
        let length = deepest.expect("the root is a module");
        let here = path[..length].to_vec();
        match path.get(length).and_then(|name| self.modules[&here].doors.get(name)) {
            Some(door) if doors_left > 0 && *door != path => {
                let behind = [door.as_slice(), &path[length + 1..]].concat();
                self.module_of(&behind, doors_left - 1)
            }
            _ => here,
        }
    }

    /// Every import from one file to another, with a path that makes it.
    fn imports(&self) -> BTreeMap<(Path_, Path_), String> {
        let mut imports = BTreeMap::new();
        for (from, module) in &self.modules {
            // What a module hands on from below itself is its own; from elsewhere it is an import like any other.
            let used_doors = module
                .doors
                .iter()
                .filter(|(name, path)| module.idents.contains(*name) || !path.starts_with(from));
            for path in module.named.iter().chain(used_doors.map(|(_, path)| path)) {
                let to = self.module_of(path, 8);
                if to != *from {
                    imports.entry((from.clone(), to)).or_insert_with(|| path.join("::"));
                }
            }
        }
        imports
    }
}

/// Reads one file.
struct Reading {
    /// The module that is read: the file's, or one inside it.
    at: Path_,
    module: Module,
}

impl Reading {
    /// The path from the crate's root, if it begins in this crate.
    fn absolute(&self, path: &[String]) -> Option<Path_> {
        let mut here = self.at.clone();
        let mut rest = path;
        match path.first().map(String::as_str) {
            Some("crate") => {
                here.clear();
                rest = &rest[1..];
            }
            Some("self") => rest = &rest[1..],
            Some("super") => {}
            _ => return None,
        }
        while rest.first().is_some_and(|segment| segment == "super") {
            here.pop();
            rest = &rest[1..];
        }
        here.extend(rest.iter().cloned());
        Some(here)
    }

    fn take_use(&mut self, tree: &UseTree, before: &[String], hands_on: bool) {
        let with = |name: String| [before, &[name]].concat();
        match tree {
            UseTree::Path(path) => self.take_use(&path.tree, &with(path.ident.to_string()), hands_on),
            UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.take_use(tree, before, hands_on));
            }
            UseTree::Name(name) if name.ident == "self" => {
                self.take_path(before, before.last().cloned(), hands_on)
            }
            UseTree::Name(name) => {
                let name = name.ident.to_string();
                self.take_path(&with(name.clone()), Some(name), hands_on);
            }
            UseTree::Rename(name) => {
                self.take_path(&with(name.ident.to_string()), Some(name.rename.to_string()), hands_on);
            }
            UseTree::Glob(_) => self.take_path(before, None, false),
        }
    }

    fn take_path(&mut self, path: &[String], name: Option<String>, hands_on: bool) {
        // `use child::X` names a child of the module that it stands in.
        let own = || self.absolute(&[&["self".to_owned()], path].concat());
        let Some(path) = self.absolute(path).or_else(own) else { return };
        match name {
            Some(name) if hands_on => drop(self.module.doors.insert(name, path)),
            _ => self.module.named.push(path),
        }
    }

    fn take_tokens(&mut self, tokens: TokenStream) {
        let mut path: Option<Path_> = None;
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => {
                    let ident = ident.to_string();
                    match &mut path {
                        Some(path) if colons == 2 => path.push(ident),
                        _ => {
                            self.end_path(path.take());
                            path = Some(vec![ident]);
                        }
                    }
                    colons = 0;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                TokenTree::Group(group) => {
                    self.end_path(path.take());
                    self.take_tokens(group.stream());
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => self.end_path(path.take()),
            }
        }
        self.end_path(path);
    }

    fn end_path(&mut self, path: Option<Path_>) {
        let Some(path) = path else { return };
        self.module.idents.extend(path.first().cloned());
        self.module.named.extend(self.absolute(&path));
    }
}

fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Ident>().is_ok_and(|argument| argument == "test")
    })
}

impl Visit<'_> for Reading {
    fn visit_item(&mut self, item: &Item) {
        let attributes: &[Attribute] = match item {
            Item::Mod(item) => &item.attrs,
            Item::Use(item) => &item.attrs,
            Item::Fn(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            _ => &[],
        };
        if !is_test(attributes) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, item: &ItemMod) {
        if item.content.is_some() {
            self.at.push(item.ident.to_string());
            visit::visit_item_mod(self, item);
            self.at.pop();
        }
    }

    fn visit_item_use(&mut self, item: &ItemUse) {
        let hands_on = !matches!(item.vis, Visibility::Inherited);
        self.take_use(&item.tree, &[], hands_on);
    }

    fn visit_attribute(&mut self, attribute: &Attribute) {
        if let Meta::List(list) = &attribute.meta {
            self.take_tokens(list.tokens.clone());
        }
    }

    fn visit_path(&mut self, path: &syn::Path) {
        let segments: Path_ = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.end_path(Some(segments));
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &Macro) {
        self.take_tokens(item.tokens.clone());
        visit::visit_macro(self, item);
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for path in entries.map(|entry| entry.expect("it can be listed").path()) {
        let is_tests = path.file_stem().is_some_and(|stem| stem == "tests");
        if path.is_dir() && !is_tests {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") && !is_tests {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Imports among the children of `parent`: the rest of each path counts as the child itself.
fn among_children(
    imports: &BTreeMap<(Path_, Path_), String>,
    parent: &[String],
) -> BTreeMap<(String, String), String> {
    let child = |path: &Path_| path.strip_prefix(parent).and_then(|rest| rest.first()).cloned();
    let mut among = BTreeMap::new();
    for ((from, to), by) in imports {
        if let (Some(a), Some(b)) = (child(from), child(to))
            && a != b
        {
            let told = format!("{} names {by}", from.join("::"));
            among.entry((a, b)).or_insert(told);
        }
    }
    among
}

/// A circle of these imports, as the rooms on the way round.
fn circle(among: &BTreeMap<(String, String), String>) -> Option<Vec<String>> {
    fn walk(
        at: &str,
        among: &BTreeMap<(String, String), String>,
        way: &mut Vec<String>,
        done: &mut BTreeSet<String>,
    ) -> bool {
        if let Some(place) = way.iter().position(|room| room == at) {
            way.drain(..place);
            return true;
        }
        if done.contains(at) {
            return false;
        }
        way.push(at.to_owned());
        let next = among.keys().filter(|(from, _)| from == at).map(|(_, to)| to.as_str());
        for to in next.collect::<Vec<_>>() {
            if walk(to, among, way, done) {
                return true;
            }
        }
        way.pop();
        done.insert(at.to_owned());
        false
    }
    let mut done = BTreeSet::new();
    let rooms: BTreeSet<&String> = among.keys().map(|(from, _)| from).collect();
    rooms.into_iter().find_map(|room| {
        let mut way = Vec::new();
        walk(room, among, &mut way, &mut done).then_some(way)
    })
}

fn folders() -> BTreeSet<&'static str> {
    HOUSES.iter().map(|house| house.folder).collect()
}

#[test]
fn no_circle_of_imports() {
    let mut circles = Vec::new();
    let mut excused = BTreeSet::new();
    for folder in folders() {
        let of_crate = Crate::read(folder);
        assert!(of_crate.modules.len() > 10, "{folder}: the sources were not found");
        let imports = of_crate.imports();
        assert!(imports.len() > 30, "{folder}: the imports were not found");
        let parents: BTreeSet<Path_> = of_crate
            .modules
            .keys()
            .filter_map(|path| path.split_last().map(|(_, parent)| parent.to_vec()))
            .collect();
        for parent in parents {
            let mut among = among_children(&imports, &parent);
            while let Some(way) = circle(&among) {
                let name = |room: &String| {
                    format!(
                        "{folder}: {}",
                        [parent.as_slice(), std::slice::from_ref(room)].concat().join("::")
                    )
                };
                let around: Vec<(&String, &String)> = way.iter().zip(way.iter().cycle().skip(1)).collect();
                let is_excused = |(a, b, _): &&(&str, &str, &str)| {
                    way.len() == 2 && way.iter().map(name).all(|room| room == *a || room == *b)
                };
                match CIRCLES.iter().find(is_excused) {
                    Some((a, _, _)) => drop(excused.insert(*a)),
                    None => {
                        let told = around.iter().map(|(a, b)| {
                            format!("  {} → {b}: {}", name(a), among[&((*a).clone(), (*b).clone())])
                        });
                        circles.push(format!("a circle:\n{}", told.collect::<Vec<_>>().join("\n")));
                    }
                }
                // Cut it at its last import, and look for another.
                let (a, b) = around[around.len() - 1];
                among.remove(&(a.clone(), b.clone()));
            }
        }
    }
    assert!(circles.is_empty(), "\n{}\n", circles.join("\n"));
    assert!(
        CIRCLES.len() <= 1 && CIRCLES.iter().all(|(a, ..)| excused.contains(a)),
        "an excuse is not needed any more"
    );
}

#[test]
fn every_room_stands_on_a_floor_and_imports_none_above_it() {
    let mut offences = Vec::new();
    for house in HOUSES {
        let of_crate = Crate::read(house.folder);
        let inside: Path_ =
            house.inside.split("::").filter(|name| !name.is_empty()).map(str::to_owned).collect();
        let floor_of = |room: &str| house.floors.iter().position(|floor| floor.rooms.contains(&room));
        let rooms: BTreeSet<String> = of_crate
            .modules
            .keys()
            .filter_map(|path| path.strip_prefix(inside.as_slice())?.first().cloned())
            .collect();
        let place = format!("{} {}", house.folder, house.inside);
        offences.extend(
            rooms
                .iter()
                .filter(|room| floor_of(room).is_none())
                .map(|room| format!("{place}: {room} stands on no floor")),
        );
        let listed = house.floors.iter().flat_map(|floor| floor.rooms);
        offences.extend(
            listed.filter(|room| !rooms.contains(**room)).map(|room| format!("{place}: there is no {room}")),
        );
        for ((from, to), told) in among_children(&of_crate.imports(), &inside) {
            if let (Some(above), Some(below)) = (floor_of(&from), floor_of(&to))
                && below < above
            {
                offences.push(format!("{place}: {from} imports {to}, which stands above it: {told}"));
            }
        }
    }
    assert!(offences.is_empty(), "\n{}\n", offences.join("\n"));
}

/// The floors as text, from the top down.
fn picture() -> String {
    let mut text = String::new();
    for house in HOUSES {
        text += &format!("{}\n", house.title);
        let width = house.floors.iter().map(|floor| floor.rooms.join("  ").len()).max().unwrap_or(0);
        for (below, floor) in house.floors.iter().enumerate() {
            let number = house.floors.len() - 1 - below;
            text += &format!(" {number:>2}  {:width$}   {}\n", floor.rooms.join("  "), floor.what);
        }
        text.push('\n');
    }
    text.trim_end().to_owned() + "\n"
}

const BEGIN: &str = "<!-- floors: made by tests/it/floors.rs -->\n```text\n";
const END: &str = "```\n<!-- end of floors -->";

#[test]
fn the_picture_in_the_architecture_is_that_of_the_floors() {
    let path = root().join("ARCHITECTURE.md");
    let document = fs::read_to_string(&path).expect("it can be read");
    let (before, rest) = document.split_once(BEGIN).expect("ARCHITECTURE.md has a place for the floors");
    let (there, after) = rest.split_once(END).expect("the place for the floors has an end");
    if std::env::var_os("UPDATE_FLOORS").is_some() {
        fs::write(&path, [before, BEGIN, &picture(), END, after].concat()).expect("it can be written");
        return;
    }
    assert!(there == picture(), "ARCHITECTURE.md is old: UPDATE_FLOORS=1 cargo test --test it floors");
}
