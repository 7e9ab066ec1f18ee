//! A headless Chromium, told what to do through two pipes.

use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

/// A browser with one page.
pub(crate) struct Browser {
    child: Child,
    say: ChildStdin,
    hear: BufReader<ChildStdout>,
    session: Option<String>,
    last: u64,
    /// Errors of the page, and what it logged.
    pub(crate) complaints: Vec<String>,
    /// What it asked for.
    pub(crate) requests: Vec<String>,
    /// Holds its profile.
    _home: tempfile::TempDir,
}

impl Browser {
    /// Starts one; says so and returns nothing where there is none, which in CI is an error.
    pub(crate) fn start() -> Option<Self> {
        let there = |name: &&str| {
            std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
                .any(|dir| dir.join(name).is_file())
        };
        let Some(program) = ["chromium", "chromium-browser", "google-chrome"].into_iter().find(there) else {
            assert!(std::env::var_os("CI").is_none(), "chromium is missing: tests/setup installs it");
            eprintln!("skipped: there is no chromium");
            return None;
        };
        let home = tempfile::tempdir().unwrap();
        // The browser reads from descriptor 3 and writes to 4.
        let mut child = Command::new("sh")
            .args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1", program])
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
            .args(["--remote-debugging-pipe", "--no-first-run", "--disable-extensions"])
            .args(["--disable-background-networking", "--hide-scrollbars", "--lang=en"])
            .arg(format!("--user-data-dir={}", home.path().display()))
            .env("HOME", home.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (say, hear) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut browser = Self {
            child,
            say,
            hear,
            session: None,
            last: 0,
            complaints: Vec::new(),
            requests: Vec::new(),
            _home: home,
        };
        let target = browser.tell("Target.createTarget", &json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = browser.tell("Target.attachToTarget", &attach);
        browser.session = Some(session["sessionId"].as_str().unwrap().to_owned());
        for part in ["Page", "Runtime", "Log", "Network"] {
            browser.tell(&format!("{part}.enable"), &json!({}));
        }
        Some(browser)
    }

    /// Gives an order and waits for the answer; what happens meanwhile is noted.
    pub(crate) fn tell(&mut self, method: &str, params: &Value) -> Value {
        self.last += 1;
        let mut order = json!({ "id": self.last, "method": method, "params": params });
        if let Some(session) = &self.session {
            order["sessionId"] = json!(session);
        }
        self.say.write_all(format!("{order}\0").as_bytes()).unwrap();
        loop {
            let mut heard = Vec::new();
            let length = self.hear.read_until(0, &mut heard).unwrap();
            assert!(length > 0, "the browser ended at {method}");
            let heard: Value = serde_json::from_slice(heard.strip_suffix(&[0]).unwrap()).unwrap();
            if heard["id"] == json!(self.last) {
                assert!(heard["error"].is_null(), "{method}: {}", heard["error"]);
                return heard["result"].clone();
            }
            let about = &heard["params"];
            match heard["method"].as_str().unwrap_or_default() {
                "Runtime.exceptionThrown" | "Runtime.consoleAPICalled" | "Log.entryAdded" => {
                    self.complaints.push(about.to_string());
                }
                "Network.requestWillBeSent" => {
                    self.requests.push(about["request"]["url"].as_str().unwrap().to_owned());
                }
                _ => {}
            }
        }
    }

    /// What an expression comes to in the page; a promise is waited for.
    pub(crate) fn eval(&mut self, expression: &str) -> Value {
        let order = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let result = self.tell("Runtime.evaluate", &order);
        assert!(result["exceptionDetails"].is_null(), "{expression}: {}", result["exceptionDetails"]);
        result["result"]["value"].clone()
    }

    /// Waits until an expression is true.
    #[track_caller]
    pub(crate) fn until(&mut self, expression: &str) {
        let tries = format!(
            "(async () => {{ for (let n = 0; n < 1500; n++) {{ try {{ if ({expression}) return true; }} catch {{}} \
             await new Promise((go) => setTimeout(go, 20)); }} return false; }})()"
        );
        let came = self.eval(&tries);
        assert_eq!(
            came,
            json!(true),
            "it never came to {expression}: {}",
            self.eval("document.body.innerText")
        );
    }

    /// Opens a file as `hash` says, and waits until it is drawn.
    pub(crate) fn open(&mut self, file: &Path, hash: &str) {
        self.tell("Page.navigate", &json!({ "url": "about:blank" }));
        self.tell("Page.navigate", &json!({ "url": format!("file://{}{hash}", file.display()) }));
        self.until("document.documentElement.dataset.ready");
    }

    /// Presses a key as a person does.
    pub(crate) fn press(&mut self, key: &str) {
        let code = match key {
            "Enter" => 13,
            "Escape" => 27,
            "End" => 35,
            "Home" => 36,
            "ArrowLeft" => 37,
            "ArrowUp" => 38,
            "ArrowRight" => 39,
            "ArrowDown" => 40,
            "Tab" => 9,
            _ => u32::from(key.chars().next().unwrap().to_ascii_uppercase()),
        };
        let mut down = json!({ "type": "keyDown", "key": key, "windowsVirtualKeyCode": code });
        if key.chars().count() == 1 {
            down["text"] = json!(key);
        } else if key == "Enter" {
            down["text"] = json!("\r");
        }
        self.tell("Input.dispatchKeyEvent", &down);
        let up = json!({ "type": "keyUp", "key": key, "windowsVirtualKeyCode": code });
        self.tell("Input.dispatchKeyEvent", &up);
    }

    /// Types where the focus is.
    pub(crate) fn type_in(&mut self, text: &str) {
        self.tell("Input.insertText", &json!({ "text": text }));
    }

    /// Makes the window so large, and light or dark.
    pub(crate) fn look(&mut self, width: u32, height: u32, dark: bool) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.tell("Emulation.setDeviceMetricsOverride", &size);
        let value = if dark { "dark" } else { "light" };
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": value }] });
        self.tell("Emulation.setEmulatedMedia", &features);
    }

    /// Keeps a picture of what is seen.
    pub(crate) fn picture(&mut self, file: &Path) {
        use base64::Engine as _;
        let picture = self.tell("Page.captureScreenshot", &json!({ "format": "png" }));
        let bytes = base64::engine::general_purpose::STANDARD.decode(picture["data"].as_str().unwrap());
        std::fs::write(file, bytes.unwrap()).unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
