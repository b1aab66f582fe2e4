//! The report on paper: what belongs together stays on one page, of A4 and of Letter.

use std::path::Path;
use std::process::Command;

use serde_json::json;
use tempfile::TempDir;

use crate::browser::{Browser, in_chromium};
use crate::reports::copy;

/// Paper sizes with the width and the height that the margins of 12 mm leave, mm.
const PAPERS: [(&str, f64, f64); 2] = [("A4", 186.0, 273.0), ("Letter", 192.0, 255.0)];
const CSS_PIXELS_PER_MM: f64 = 96.0 / 25.4;

in_chromium! {
    a_heading_and_its_plot_fit_on_one_page;
}

fn a_heading_and_its_plot_fit_on_one_page(engine: crate::browser::Engine) {
    let around = TempDir::new().unwrap();
    let folder = around.path().join("sample");
    copy(Path::new("results/sample"), &folder);
    let made = Command::new(env!("CARGO_BIN_EXE_wirelab")).arg("report").arg(&folder).status().unwrap();
    assert!(made.success());

    let browser = Browser::start(engine);
    browser.goto(&format!("file://{}", folder.join("report.html").display()));
    for (paper, width_mm, height_mm) in PAPERS {
        let (width, height) = (width_mm * CSS_PIXELS_PER_MM, height_mm * CSS_PIXELS_PER_MM);
        let size =
            json!({"width": width as u32, "height": height as u32, "deviceScaleFactor": 1, "mobile": false});
        browser.devtools("Emulation.setDeviceMetricsOverride", size);
        browser.devtools("Emulation.setEmulatedMedia", json!({"media": "print"}));
        let blocks: Vec<(String, f64)> = browser.run(
            "return [...document.querySelectorAll('figure')].map((figure) => {
                const above = figure.previousElementSibling;
                const from = above?.matches('h2') ? above : figure;
                const height = figure.getBoundingClientRect().bottom - from.getBoundingClientRect().top;
                return [figure.querySelector('title').textContent, height];
            })",
            &[],
        );
        assert!(blocks.len() >= 6, "{paper}: {blocks:?}");
        for (plot, taken) in &blocks {
            assert!(*taken <= height, "{paper}: {plot:?} with its heading takes {taken} of {height} px");
        }
        let loose: Vec<String> = browser.run(
            "const breaks = (element, kind) => getComputedStyle(element)[kind] === 'avoid';
             return [...document.querySelectorAll('h2, figure, tr')]
                .filter((element) => !breaks(element, element.matches('h2') ? 'breakAfter' : 'breakInside'))
                .map((element) => element.outerHTML.slice(0, 80))",
            &[],
        );
        assert_eq!(loose, Vec::<String>::new(), "{paper}");
        // A heading of a column that is wider than its cell runs into the next, and a table into the margin.
        let overlapping: Vec<String> = browser.run(
            "return [...document.querySelectorAll('thead th, .scroll')]
                .filter((element) => element.checkVisibility() && element.scrollWidth > element.clientWidth + 1)
                .map((element) => element.textContent.slice(0, 40))",
            &[],
        );
        assert_eq!(overlapping, Vec::<String>::new(), "{paper}");
        let open: Vec<String> = browser.run(
            "return [...document.querySelectorAll('details[open] > summary')].map((summary) => summary.textContent)",
            &[],
        );
        assert!(open.iter().all(|summary| !summary.contains("calibrated")), "{paper}: {open:?}");
    }
}
