//! What a program wrote for a terminal, on the page: its colours, the last state of its progress bar, and no command.

use serde_json::{Value, json};

use crate::browser::{Engine, in_every_browser};
use crate::page::{Page, wait_until};
use crate::server::Binary;

in_every_browser! {
    a_line_is_shown_as_a_terminal_shows_it_at_its_end;
    no_line_of_a_megabyte_freezes_the_page;
}

fn serve() -> Binary {
    Binary::serve("127.0.0.1:0", &["--store", "memory"])
}

fn a_line_is_shown_as_a_terminal_shows_it_at_its_end(engine: Engine) {
    let server = serve();
    let page = Page::shown_by(engine, &server);
    // Each line with what is seen: runs of text with their classes, and how many states of the line came before.
    let bar: String = (1..=100).map(|n| format!("\r{n:3}%")).collect();
    let cases = [
        ("plain é 🦀\tx", json!([["plain é 🦀\tx", ""]]), 0),
        ("", json!([]), 0),
        ("\u{1b}[32mok\u{1b}[0m then", json!([["ok", "ink-2"], [" then", ""]]), 0),
        (
            "\u{1b}[1;91mbad\u{1b}[22m, \u{1b}[39mso",
            json!([["bad", "bold ink-9"], [", ", "ink-9"], ["so", ""]]),
            0,
        ),
        (
            "\u{1b}[4:3mcurly\u{1b}[4:0m \u{1b}[3;9;2mall\u{1b}[m",
            json!([["curly", "underlined"], [" ", ""], ["all", "italic struck dim"]]),
            0,
        ),
        (
            "\u{1b}[38;5;9mnamed\u{1b}[38;5;208mother",
            json!([["named", "ink-9"], ["other", "ink rgb(255 135 0)"]]),
            0,
        ),
        (
            "\u{1b}[38;2;1;2;3mtrue\u{1b}[38:2::4:5:6mcolons",
            json!([["true", "ink rgb(1 2 3)"], ["colons", "ink rgb(4 5 6)"]]),
            0,
        ),
        ("\u{1b}[38;5;999;1mnone", json!([["none", "bold"]]), 0),
        (
            "\u{1b}[41mdark\u{1b}[103mlight\u{1b}[30;43mboth",
            json!([
                ["dark", "paper rgb(255 255 255) on rgb(205 0 0)"],
                ["light", "paper rgb(0 0 0) on rgb(255 255 0)"],
                ["both", "paper rgb(0 0 0) on rgb(205 205 0)"],
            ]),
            0,
        ),
        (
            "\u{1b}[7mswapped\u{1b}[31mred\u{1b}[27;49mback",
            json!([
                ["swapped", "inverse"],
                ["red", "paper rgb(255 255 255) on rgb(205 0 0)"],
                ["back", "ink-1"],
            ]),
            0,
        ),
        // Titles, links, cursors, modes: left out; the text of a link stays.
        (
            "\u{1b}]2;title\u{7}a\u{1b}]8;;http://x\u{1b}\\b\u{1b}]8;;\u{1b}\\\u{1b}[2K\u{1b}[1;1H\u{1b}[?25lc\u{1b}(B\u{1b}7d\u{9b}2J",
            json!([["abcd", ""]]),
            0,
        ),
        ("\u{1b}Psixel\u{1b}\\a\u{1b}_b\u{9c}c", json!([["ac", ""]]), 0),
        // What is no whole sequence is text with a sign, and hides nothing.
        ("\u{1b}[31", json!([["\\u{1b}", "sign"], ["[31", ""]]), 0),
        ("\u{1b}]2;never ends", json!([["\\u{1b}", "sign"], ["]2;never ends", ""]]), 0),
        (
            "nul \0, \u{7f}, \u{85}",
            json!([
                ["nul ", ""],
                ["\\u{0}", "sign"],
                [", ", ""],
                ["\\u{7f}", "sign"],
                [", ", ""],
                ["\\u{85}", "sign"]
            ]),
            0,
        ),
        (
            "user\u{202e}gnp.exe\u{2069}",
            json!([["user", ""], ["\\u{202e}", "sign"], ["gnp.exe", ""], ["\\u{2069}", "sign"]]),
            0,
        ),
        ("win\r", json!([["win", ""]]), 0),
        ("a\rb\r\r", json!([["b", ""]]), 1),
        ("\u{1b}[33m 50%\r100%\u{1b}[0m", json!([["100%", "ink-3"]]), 1),
        ("done\r\u{1b}[K", json!([["done", ""]]), 0),
        (&bar, json!([["100%", ""]]), 99),
    ];
    let script = "return import('/terminal.js').then(({ runsOf, show }) => arguments[0].map((line) => {
        const text = document.createElement('span');
        show(text, line);
        const runs = [...text.childNodes].map((node) => {
            const ink = node.style?.getPropertyValue('--ink') ?? '';
            const paper = node.style?.getPropertyValue('--paper') ?? '';
            return [node.textContent, [node.className, ink, paper && `on ${paper}`].filter(Boolean).join(' ')];
        });
        return [runs, runsOf(line).earlier];
    }))";
    let lines: Vec<&str> = cases.iter().map(|(line, ..)| *line).collect();
    let seen: Vec<(Value, u32)> = page.run(script, &[json!(lines)]);
    for ((line, runs, earlier), (seen, seen_earlier)) in cases.iter().zip(seen) {
        assert_eq!((&seen, seen_earlier), (runs, *earlier), "{line:?}");
    }
    page.is_quiet();
}

fn no_line_of_a_megabyte_freezes_the_page(engine: Engine) {
    let server = serve();
    let page = Page::shown_by(engine, &server);
    let script = "return import('/terminal.js').then(({ RUNS_MAX, show }) => {
        const text = document.createElement('span');
        const line = arguments[0].repeat(Math.ceil(1024 * 1024 / arguments[0].length));
        const began = performance.now();
        show(text, line);
        return [performance.now() - began, text.childNodes.length, RUNS_MAX];
    })";
    for part in [
        "\u{1b}[31mx\u{1b}[0my",
        "\u{1b}]",
        "\u{9d}",
        "\u{1b}[",
        "\u{1b}[0 ",
        "\u{1b}[1;1;1;1;1;1;1;1;1;1",
        "\u{1b}",
        "\r",
        "x\r",
        ";",
        "\u{1b}[;",
        "\u{1b}[38;5;208mx",
        "\u{1b}(",
    ] {
        let (took_ms, nodes, most): (f64, usize, usize) = page.run(script, &[part.into()]);
        // Quadratic time would take hours. The machine may have other work.
        assert!(took_ms < 10_000.0, "{part:?}: {took_ms} ms");
        assert!(nodes <= most + 1, "{part:?}: {nodes} elements");
    }
    page.is_quiet();
}

#[test]
fn every_colour_of_a_line_can_be_read_on_light_and_on_dark() {
    let server = serve();
    let page = Page::of(&server);
    let id = server.create().id;
    let named = (30..=37).chain(90..=97).map(|code| format!("{code}"));
    let palette = [16, 17, 21, 46, 51, 196, 201, 226, 231, 232, 244, 255].map(|n| format!("38;5;{n}"));
    let grounds = (40..=47).chain(100..=107).map(|code| format!("{code}"));
    let others = ["1", "2", "3", "7", "38;2;255;255;255", "38;2;0;0;0", "38;2;0;255;0", "38;2;0;0;255"]
        .map(str::to_owned);
    let codes: Vec<String> = named.chain(palette).chain(grounds).chain(others).collect();
    let lines: Vec<String> = codes.iter().map(|code| format!("\u{1b}[{code}m{code}\u{1b}[0m")).collect();
    server.append(&id, &lines);
    page.open(&id, "sse");
    page.shows(&codes, "sse");
    // Contrast as WCAG 2 counts it. A canvas turns every way of writing a colour into red, green and blue.
    let script = "
        const context = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
        const light = (colour) => {
            context.fillStyle = colour;
            context.fillRect(0, 0, 1, 1);
            const [r, g, b] = [...context.getImageData(0, 0, 1, 1).data].map((part) => {
                const share = part / 255;
                return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
            });
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        };
        const log = getComputedStyle(document.querySelector('#log')).backgroundColor;
        return [...document.querySelectorAll('#log .text > *')].map((run) => {
            const { color, backgroundColor } = getComputedStyle(run);
            const isClear = backgroundColor === 'rgba(0, 0, 0, 0)';
            const [dark, bright] = [light(color), light(isClear ? log : backgroundColor)].sort((a, b) => a - b);
            return [run.textContent, (bright + 0.05) / (dark + 0.05)];
        })";
    for colours in ["light", "dark"] {
        page.look(1280, 900, colours);
        let seen: Vec<(String, f64)> = page.run(script, &[]);
        assert_eq!(seen.len(), codes.len());
        for (code, contrast) in seen {
            assert!(contrast >= 4.5, "{colours}: SGR {code} has a contrast of {contrast:.2}");
        }
    }
    page.is_quiet();
}

#[test]
fn a_log_and_every_lane_show_the_same_and_what_is_stored_stays() {
    let server = serve();
    let page = Page::of(&server);
    let id = server.create().id;
    let bar: String = (1..=100).map(|n| format!("\r{n:3}%")).collect();
    let lines = ["\u{1b}[32mok\u{1b}[0m", &bar, "win\r"];
    let shown = ["ok", "100%", "win"];
    page.beside(&id);
    page.wait_for_lanes("live");
    server.append(&id, &lines);
    page.lanes_show(&shown);
    let greens =
        "return [...document.querySelectorAll('#lane-list .text .ink-2')].map((run) => run.textContent)";
    let greens: Vec<String> = page.run(greens, &[]);
    assert_eq!(greens, vec!["ok"; page.lanes().len()]);
    page.open(&id, "sse");
    page.shows(&shown, "sse");
    let title = "return document.querySelectorAll('#log .text')[1].title";
    let says = "99 earlier states of this line are left out; the log has them";
    assert_eq!(page.run::<String>(title, &[]), says);
    wait_until("the row is one line high", || {
        page.run("const [ok, bar] = document.querySelectorAll('#log .line'); return ok.offsetHeight === bar.offsetHeight", &[])
    });
    let stored: Vec<_> = server.lines(&id, "").lines.into_iter().map(|line| line.line.text).collect();
    assert_eq!(stored, lines);
    page.is_quiet();
}

#[test]
fn a_name_turns_nothing_round_that_stands_beside_it() {
    let server = serve();
    let name = json!({ "name": "user\u{202e}gnp.exe" }).to_string();
    assert_eq!(server.post("/api/deployments", "application/json", name).status, 201);
    let page = Page::of(&server);
    wait_until("it is listed", || page.run("return document.querySelector('#list code') !== null", &[]));
    let places = "const id = document.querySelector('#list code').firstChild;
        return [0, id.length - 1].map((at) => {
            const sign = document.createRange();
            sign.setStart(id, at);
            sign.setEnd(id, at + 1);
            return sign.getBoundingClientRect().left;
        })";
    let places: Vec<f64> = page.run(places, &[]);
    assert!(places[0] < places[1], "the id is read from its end: {places:?}");
    page.is_quiet();
}

#[test]
fn what_nobody_sees_in_a_name_is_written_out_wherever_the_name_is_shown() {
    let server = serve();
    let name = json!({ "name": "user\u{202e}gnp.exe \u{1b}[31m\u{2066}\u{7}" }).to_string();
    let created = server.post("/api/deployments", "application/json", name);
    assert_eq!(created.status, 201);
    let id = created.json::<wirelab_clients::wire::Deployment>().id;
    let shown = r"user\u{202e}gnp.exe \u{1b}[31m\u{2066}\u{7}";
    let page = Page::of(&server);
    let title = || page.run::<String>("return document.title", &[]);
    wait_until("it is listed", || page.text("#list a") == shown);
    page.beside(&id);
    wait_until("the lanes have it", || page.text("#lanes-name") == shown);
    assert_eq!(title(), format!("{shown} · wirelab"));
    page.open(&id, "sse");
    wait_until("the log has it", || page.text("#name") == shown);
    assert_eq!(title(), format!("{shown} · wirelab"));
    page.is_quiet();
}
