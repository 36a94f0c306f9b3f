//! The demo's page in a real Chromium: rows are there and change, errors show where they are, and a server that
//! comes back is found again.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::demo::{Demo, browser_dir, lines_of, runs, skip};

const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn the_page_lives_in_a_real_browser() {
    let chromium = std::env::var("CHROMIUM").unwrap_or_else(|_| "/usr/bin/chromium".to_owned());
    if !runs("node") {
        return skip("node is not installed");
    }
    if !Path::new(&chromium).exists() {
        return skip("no Chromium: install it, or name it in the environment variable CHROMIUM");
    }
    if !browser_dir().join("node_modules/playwright-core").exists() {
        return skip("playwright-core is missing: run `npm ci` in adapters/cli/tests/browser");
    }
    let more = ["--rate", "8"];
    let mut demo = Some(Demo::start("127.0.0.1:0", &more));
    let address = demo.as_ref().map(|demo| demo.address.clone()).unwrap_or_default();

    let mut driver = Command::new("node")
        .arg(browser_dir().join("demo_page.mjs"))
        .arg(format!("http://{address}/"))
        .env("CHROMIUM", chromium)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("node starts");
    let mut stdin = driver.stdin.take().expect("stdin is piped");
    let said = lines_of(driver.stdout.take().expect("stdout is piped"));
    let errors = lines_of(driver.stderr.take().expect("stderr is piped"));

    // The driver asks for what only we can do, a line each; whatever else it says is its report.
    while let Ok(line) = said.recv_timeout(PATIENCE) {
        println!("{line}");
        match line.as_str() {
            "please stop the server" => demo = None,
            "please start the server" => demo = Some(Demo::start(&address, &more)),
            _ => continue,
        }
        writeln!(stdin, "done").expect("the driver listens");
    }
    let ended = driver.try_wait().ok().flatten();
    if ended.is_none() {
        let _ = driver.kill();
    }
    let status = driver.wait().expect("the driver ends");
    drop(demo);
    let errors: Vec<_> = errors.iter().collect();
    assert!(status.success(), "the driver failed:\n{}", errors.join("\n"));
}
